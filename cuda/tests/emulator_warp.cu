// Warp and block instructions: ldmatrix, stmatrix and mma against fp64; shuffles, votes, atomics, barriers,
// semaphores.
#include "cuda/emulator/emulator.h"
#include "cuda/platform.cuh"
#include "cuda/ptx/ldmatrix.cuh"
#include "cuda/ptx/memory.cuh"
#include "cuda/ptx/mma.cuh"
#include "cuda/ptx/stmatrix.cuh"
#include "cuda/tests/support.h"

namespace padless::cuda::test {
namespace {

template <class T>
struct MmaStorage {
  T a[16][16];
  T b[16][8];
};

// d[16][8] = a[16][16] * b[16][8], both row-major in global memory.
template <class T>
__global__ void multiply_tile(const T* a, const T* b, float* d) {
  using Storage = MmaStorage<T>;
  SHARED_STORAGE(Storage, shared);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) shared.a[i / 16][i % 16] = a[i];
  for (int i = lane; i < 128; i += 32) shared.b[i / 8][i % 8] = b[i];
  __syncwarp();
  uint32_t fragment_a[4], fragment_b[2];
  ptx::ldmatrix_x4(fragment_a, ptx::cvta_to_shared(&shared.a[lane % 16][lane / 16 * 8]));
  ptx::ldmatrix_x2_trans(fragment_b, ptx::cvta_to_shared(&shared.b[lane % 16][0]));
  REGS(float, accumulator, [4]);
  UNROLL
  for (int i = 0; i < 4; i++) accumulator[i] = 0.0f;
  ptx::mma_m16n8k16<T>(accumulator, fragment_a, fragment_b, accumulator);
  UNROLL
  for (int i = 0; i < 4; i++) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = accumulator[i];
}

template <class T>
void test_mma(const char* name) {
  Random random;
  const auto a = random.vector<T>(256), b = random.vector<T>(128);
  DeviceBuffer<T> device_a(a), device_b(b);
  DeviceBuffer<float> device_d(128);
  check_ok(launch(multiply_tile<T>, {.grid = 1, .block = 32, .shared_bytes = sizeof(MmaStorage<T>)},
                  device_a.data(), device_b.data(), device_d.data()),
           name);
  const auto d = device_d.download();
  double worst = 0;
  for (int i = 0; i < 16; i++) {
    for (int j = 0; j < 8; j++) {
      double expected = 0;
      for (int k = 0; k < 16; k++) {
        expected += double{static_cast<float>(a[i * 16 + k])} * double{static_cast<float>(b[k * 8 + j])};
      }
      worst = std::fmax(worst, std::fabs(expected - d[i * 8 + j]));
    }
  }
  check(worst < 1e-5, std::string(name) + ": error " + std::to_string(worst));
}

struct MatrixStorage {
  uint16_t in[32][8], out[32][8];
};

// Four matrices in, out again with the same instruction's inverse: the layouts must cancel.
template <bool kTranspose>
__global__ void through_registers(const uint16_t* in, uint16_t* out, uint32_t* registers) {
  SHARED_STORAGE(MatrixStorage, shared);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 8; i++) shared.in[lane][i] = in[lane * 8 + i];
  __syncwarp();
  uint32_t r[4];
  if constexpr (kTranspose) {
    ptx::ldmatrix_x4_trans(r, ptx::cvta_to_shared(shared.in[lane]));
    ptx::stmatrix_x4_trans(ptx::cvta_to_shared(shared.out[lane]), r);
  } else {
    ptx::ldmatrix_x4(r, ptx::cvta_to_shared(shared.in[lane]));
    ptx::stmatrix_x4(ptx::cvta_to_shared(shared.out[lane]), r);
  }
  __syncwarp();
  for (int i = 0; i < 8; i++) out[lane * 8 + i] = shared.out[lane][i];
  for (int i = 0; i < 4; i++) registers[lane * 4 + i] = r[i];
}

template <bool kTranspose>
void test_matrices(const char* name) {
  std::vector<uint16_t> values(256);
  for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<uint16_t>(i * 257 + 3);
  DeviceBuffer<uint16_t> in(values), out(256);
  DeviceBuffer<uint32_t> registers(128);
  check_ok(
      launch(through_registers<kTranspose>, {.grid = 1, .block = 32, .shared_bytes = sizeof(MatrixStorage)},
             in.data(), out.data(), registers.data()),
      name);
  check(out.download() == values, std::string(name) + ": stmatrix undoes ldmatrix");
  const auto r = registers.download();
  int wrong = 0;
  for (size_t lane = 0; lane < 32; lane++) {
    for (size_t m = 0; m < 4; m++) {
      const size_t major = lane / 4, minor = lane % 4 * 2;
      const auto element = [&](size_t row, size_t column) {
        return uint32_t{values[(m * 8 + row) * 8 + column]};
      };
      const uint32_t expected = kTranspose ? element(minor, major) | element(minor + 1, major) << 16
                                           : element(major, minor) | element(major, minor + 1) << 16;
      wrong += r[lane * 4 + m] != expected;
    }
  }
  check(wrong == 0, std::string(name) + ": fragment layout");
}

__global__ void collectives(int* out) {
  const int lane = static_cast<int>(threadIdx.x % 32), thread = static_cast<int>(threadIdx.x);
  int* row = out + thread * 8;
  row[0] = __shfl_sync(~0u, lane * 3, 5);
  row[1] = __shfl_up_sync(~0u, lane, 2, 8);
  row[2] = __shfl_down_sync(~0u, lane, 3, 16);
  row[3] = __shfl_xor_sync(~0u, lane, 9);
  row[4] = static_cast<int>(__ballot_sync(~0u, lane % 3 == 0));
  row[5] = __any_sync(~0u, lane == 31) * 2 + __all_sync(~0u, lane < 31);
  row[6] = __syncthreads_count(thread % 5 == 0);
  if (lane < 16) __syncwarp(0xffffu);  // half of the warp alone
  row[7] = __syncthreads_or(thread == 40) * 2 + __syncthreads_and(thread < 40);
}

void test_collectives() {
  DeviceBuffer<int> out(64 * 8);
  check_ok(launch(collectives, {.grid = 1, .block = 64}, out.data()), "collectives");
  const auto got = out.download();
  unsigned thirds = 0;
  for (unsigned lane = 0; lane < 32; lane += 3) thirds |= 1u << lane;
  int wrong = 0;
  for (int thread = 0; thread < 64; thread++) {
    const int lane = thread % 32;
    const int expected[8] = {15,
                             lane % 8 >= 2 ? lane - 2 : lane,
                             lane % 16 + 3 < 16 ? lane + 3 : lane,
                             lane ^ 9,
                             static_cast<int>(thirds),
                             2,
                             13,
                             2};
    for (int i = 0; i < 8; i++) wrong += got[thread * 8 + i] != expected[i];
  }
  check(wrong == 0, "shuffles, votes and block reductions: " + std::to_string(wrong) + " wrong");
}

__global__ void histogram(const int* values, int count, int* bins) {
  const int first = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  for (int i = first; i < count; i += static_cast<int>(gridDim.x * blockDim.x))
    atomicAdd(&bins[values[i]], 1);
}

void test_atomics() {
  std::vector<int> values(1000), expected(5, 0);
  for (size_t i = 0; i < values.size(); i++) expected[values[i] = static_cast<int>(i * i % 5)]++;
  DeviceBuffer<int> device(values), bins(std::vector<int>(5, 0));
  check_ok(launch(histogram, {.grid = 3, .block = 64}, device.data(), 1000, bins.data()), "atomics");
  check(bins.download() == expected, "atomics");
}

// Blocks take turns by a flag in global memory: they must be resident together.
__global__ void take_turns(uint32_t* turn, uint32_t* out) {
  if (threadIdx.x != 0) return;
  while (ptx::ld_acquire_gpu(turn) != blockIdx.x) {
  }
  *out = *out * 3 + blockIdx.x;
  ptx::st_release_gpu(turn, blockIdx.x + 1);
}

void test_turns() {
  DeviceBuffer<uint32_t> turn(std::vector<uint32_t>{0}), out(std::vector<uint32_t>{1});
  const unsigned before = emulator::options().resident_clusters;
  emulator::options().resident_clusters = 4;
  check_ok(launch(take_turns, {.grid = 4, .block = 32}, turn.data(), out.data()), "turns");
  uint32_t expected = 1;
  for (uint32_t i = 0; i < 4; i++) expected = expected * 3 + i;
  check(out.download()[0] == expected, "blocks take turns by acquire and release");
  emulator::options().resident_clusters = before;
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_mma<bf16>("mma bf16");
  test::test_mma<fp16>("mma fp16");
  test::test_matrices<false>("matrices");
  test::test_matrices<true>("matrices, transposed");
  test::test_collectives();
  test::test_atomics();
  test::test_turns();
  return test::report("emulator_warp");
}
