// The emulator must complain, and say what and where: each kernel here breaks one rule.
#include "cuda/emulator/emulator.h"
#include "cuda/platform.cuh"
#include "cuda/ptx/barrier.cuh"
#include "cuda/ptx/cluster.cuh"
#include "cuda/ptx/cp_async.cuh"
#include "cuda/ptx/ldmatrix.cuh"
#include "cuda/ptx/mbarrier.cuh"
#include "cuda/ptx/memory.cuh"
#include "cuda/ptx/setmaxnreg.cuh"
#include "cuda/ptx/wgmma.cuh"
#include "cuda/tests/support.h"

namespace padless::cuda::test {
namespace {

struct Storage {
  int values[64];
  uint64_t barrier;
};

__global__ void early_exit() {
  if (threadIdx.x == 5) return;
  __syncthreads();
}
__global__ void two_barrier_sites() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void half_a_warp() {
  if (threadIdx.x % 32 < 16) __syncwarp();
}
__global__ void divergent_warp() {
  SHARED_STORAGE(Storage, shared);
  uint32_t r[4];
  if (threadIdx.x % 2 == 1) {
    ptx::ldmatrix_x4(r, ptx::cvta_to_shared(shared.values));
  } else {
    __syncwarp();
  }
}
__global__ void shuffle_outside_mask() { __shfl_sync(0xffffu, 1, 20); }
__global__ void named_barrier_counts() { ptx::barrier_sync(1, threadIdx.x < 32 ? 64 : 32); }
__global__ void named_barrier_incomplete() {
  if (threadIdx.x < 32) ptx::barrier_sync(1, 64);
}
__global__ void uninitialised_mbarrier() {
  SHARED_STORAGE(Storage, shared);
  ptx::mbarrier_wait_parity(ptx::cvta_to_shared(&shared.barrier), 0);
}
__global__ void mbarrier_waits_for_one_more() {
  SHARED_STORAGE(Storage, shared);
  const uint32_t barrier = ptx::cvta_to_shared(&shared.barrier);
  if (threadIdx.x == 0) ptx::mbarrier_init(barrier, 65);
  __syncthreads();
  ptx::mbarrier_arrive(barrier);
  ptx::mbarrier_wait_parity(barrier, 0);
}
__global__ void too_many_arrivals() {
  SHARED_STORAGE(Storage, shared);
  const uint32_t barrier = ptx::cvta_to_shared(&shared.barrier);
  if (threadIdx.x == 0) {
    ptx::mbarrier_init(barrier, 2);
    ptx::mbarrier_expect_tx(barrier, 16);
    for (int i = 0; i < 3; i++) ptx::mbarrier_arrive(barrier);
  }
}
__global__ void misaligned_row() {
  SHARED_STORAGE(Storage, shared);
  uint32_t r[4];
  ptx::ldmatrix_x4(r, ptx::cvta_to_shared(&shared.values[1]));
}
__global__ void row_past_the_end() {
  SHARED_STORAGE(Storage, shared);
  uint32_t r[4];
  ptx::ldmatrix_x4(r, ptx::cvta_to_shared(&shared) + 256 + threadIdx.x % 32 / 8 * 16);
}
__global__ void storage_too_large() {
  struct Large {
    char bytes[4096];
  };
  SHARED_STORAGE(Large, shared);
  shared.bytes[0] = 0;
}
__global__ void misaligned_copy() {
  SHARED_STORAGE(Storage, shared);
  alignas(16) static const int source[8] = {};
  ptx::cp_async_cg_16(ptx::cvta_to_shared(shared.values), source + 1, 16);
}
__global__ void wgmma_without_fence() {
  float d[4] = {};
  ptx::wgmma_m64k16<bf16, 8>(d, uint64_t{0}, uint64_t{0}, 1);
}
__global__ void too_many_registers() { ptx::setmaxnreg_inc<256>(); }
__global__ void rank_outside_cluster() {
  SHARED_STORAGE(Storage, shared);
  ptx::mapa(ptx::cvta_to_shared(&shared), 1);
}
__global__ void cluster_wait_alone() { ptx::barrier_cluster_wait(); }
__global__ void failed_assertion() { KASSERT(threadIdx.x != 7); }
__global__ void polls_for_ever() {
  static const uint32_t flag = 0;
  while (ptx::ld_acquire_gpu(&flag) == 0) {
  }
}
[[maybe_unused]] __global__ void past_shared_memory() {
  SHARED_STORAGE(Storage, shared);
  volatile int* values = shared.values;
  values[threadIdx.x + 66] = 1;
}

void expect(const char* name, void (*kernel)(), const std::string& text, unsigned threads = 64) {
  check_ok(launch(kernel, {.grid = 1, .block = threads, .shared_bytes = sizeof(Storage)}), name);
  const cudaError_t error = cudaDeviceSynchronize();
  const std::string failure = emulator::take_failure();
  check(error == cudaErrorLaunchFailure && failure.find(text) != std::string::npos,
        std::string(name) + " should report '" + text + "' but says: " + failure);
  check_cuda(cudaDeviceReset(), "reset");
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda::test;
  expect("early exit", early_exit, "DEADLOCK");
  expect("early exit", early_exit, "1 thread(s) exited");
  expect("early exit", early_exit, "barrier at emulator_reports.cu:");
  expect("two barrier sites", two_barrier_sites, "DIVERGENT __syncthreads");
  expect("half a warp", half_a_warp, "DEADLOCK");
  expect("divergent warp", divergent_warp, "DIVERGENT WARP");
  expect("shuffle outside mask", shuffle_outside_mask, "mask");
  expect("named barrier counts", named_barrier_counts, "differs");
  expect("named barrier incomplete", named_barrier_incomplete, "[32 of 64 threads arrived]");
  expect("uninitialised mbarrier", uninitialised_mbarrier, "not initialised");
  expect("mbarrier count", mbarrier_waits_for_one_more, "pending arrivals 1 of 65");
  expect("too many arrivals", too_many_arrivals, "more arrivals than");
  expect("misaligned row", misaligned_row, "16-byte aligned");
  expect("row past the end", row_past_the_end, "out of bounds");
  expect("storage too large", storage_too_large, "SHARED_STORAGE needs 4096 bytes");
  expect("misaligned copy", misaligned_copy, "misaligned global address");
  expect("wgmma without fence", wgmma_without_fence, "without a preceding wgmma.fence", 128);
  expect("too many registers", too_many_registers, "over-subscribed", 512);
  expect("rank outside cluster", rank_outside_cluster, "outside the cluster");
  expect("cluster wait alone", cluster_wait_alone, "without an arrive");
  expect("failed assertion", failed_assertion, "KASSERT(threadIdx.x != 7)");
  expect("polls for ever", polls_for_ever, "LIVELOCK", 1);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  expect("past shared memory", past_shared_memory, "past its end");
#endif
  return report("emulator_reports");
}
