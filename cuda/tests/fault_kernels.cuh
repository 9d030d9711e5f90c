// Two small pipelines, one of cp.async and one of TMA and wgmma, kernels that overlap in a stream, and blocks
// that tell each other numbers, with a fault as template parameter.
#pragma once

#include "cuda/platform.cuh"
#include "cuda/ptx/barrier.cuh"
#include "cuda/ptx/cluster.cuh"
#include "cuda/ptx/cp_async.cuh"
#include "cuda/ptx/fence.cuh"
#include "cuda/ptx/math.cuh"
#include "cuda/ptx/mbarrier.cuh"
#include "cuda/ptx/stmatrix.cuh"
#include "cuda/ptx/tma.cuh"
#include "cuda/ptx/wgmma.cuh"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda::test {

// X(name) in the order of the kernels: those from wrong_transaction_bytes on are in multiply_pipelined, those
// from no_grid_wait on in double_reversed, those from no_first_meeting on in exchange_sums.
#define PADLESS_FAULTS(X)      \
  X(none)                      \
  X(no_block_barrier)          \
  X(prefetch_before_barrier)   \
  X(no_copy_wait)              \
  X(reads_out_of_bounds)       \
  X(reads_neighbour)           \
  X(uninitialised_accumulator) \
  X(blocks_share_output)       \
  X(wrong_transaction_bytes)   \
  X(no_empty_wait)             \
  X(no_full_wait)              \
  X(ignores_try_wait)          \
  X(no_wgmma_fence)            \
  X(no_wgmma_wait)             \
  X(stage_released_early)      \
  X(no_proxy_fence)            \
  X(no_named_barrier)          \
  X(no_store_wait)             \
  X(no_grid_wait)              \
  X(no_grid_wait_when_idle)    \
  X(reads_before_grid_wait)    \
  X(writes_before_grid_wait)   \
  X(no_first_meeting)          \
  X(no_exchange_wait)          \
  X(sends_after_arriving)      \
  X(one_exchange_buffer)       \
  X(no_last_meeting)

enum class Fault {
#define PADLESS_FAULT(name) name,
  PADLESS_FAULTS(PADLESS_FAULT)
#undef PADLESS_FAULT
};

constexpr int kColumns = 64, kTileRows = 32;

struct SumStorage {
  float tile[2][kTileRows][kColumns];
};

template <Fault kFault>
DEVICE void load_rows(SumStorage& shared, int buffer, const float* values, int row0, int rows) {
  UNROLL
  for (int i = 0; i < kTileRows * kColumns / 4 / 128; i++) {
    const int chunk = static_cast<int>(threadIdx.x) + i * 128, row = chunk / 16, column = chunk % 16 * 4;
    const bool valid = kFault == Fault::reads_out_of_bounds ? true
                       : kFault == Fault::reads_neighbour   ? row0 + row <= rows
                                                            : row0 + row < rows;
    ptx::cp_async_cg_16(ptx::cvta_to_shared(&shared.tile[buffer][row][column]),
                        values + int64_t{row0 + row} * kColumns + column, valid ? 16 : 0);
  }
  ptx::cp_async_commit_group();
}

// out[block][2][columns]: column sums of rows first[block] .. first[block + 1], even and odd rows apart.
template <Fault kFault>
__global__ void __launch_bounds__(128) sum_rows(const float* values, const int* first, float* out) {
  SHARED_STORAGE(SumStorage, shared);
  const int thread = static_cast<int>(threadIdx.x), column = thread % kColumns, half = thread / kColumns;
  const int block = static_cast<int>(blockIdx.x), rows = first[block + 1] - first[block];
  const int tiles = (rows + kTileRows - 1) / kTileRows;
  const float* block_values = values + int64_t{first[block]} * kColumns;
  REGS(float, sum, [1]);
  if (kFault != Fault::uninitialised_accumulator) sum[0] = 0;
  load_rows<kFault>(shared, 0, block_values, 0, rows);
  for (int tile = 0; tile < tiles; tile++) {
    if (kFault == Fault::prefetch_before_barrier && tile + 1 < tiles) {
      load_rows<kFault>(shared, (tile + 1) % 2, block_values, (tile + 1) * kTileRows, rows);
      ptx::cp_async_wait_group<1>();
    } else if (kFault != Fault::no_copy_wait) {
      ptx::cp_async_wait_group<0>();
    }
    if (kFault != Fault::no_block_barrier) __syncthreads();
    if (kFault != Fault::prefetch_before_barrier && tile + 1 < tiles) {
      load_rows<kFault>(shared, (tile + 1) % 2, block_values, (tile + 1) * kTileRows, rows);
    }
    for (int row = half; row < kTileRows; row += 2) sum[0] += shared.tile[tile % 2][row][column];
  }
  const int target = kFault == Fault::blocks_share_output ? 0 : block;
  out[(target * 2 + half) * kColumns + column] = sum[0];
}

constexpr int kStages = 3, kStageBytes = 64 * 64 * 2;

struct alignas(1024) PipelineStorage {
  bf16 a[kStages][64 * 64], b[kStages][64 * 64], c[64 * 64];
  uint64_t full[kStages], empty[kStages];
};

// c[64][64] = a[64][64 * steps] * b[64][64 * steps]^T: a producing and a consuming warpgroup.
template <Fault kFault>
__global__ void __launch_bounds__(256)
    multiply_pipelined(const __grid_constant__ ptx::TensorMap map_a,
                       const __grid_constant__ ptx::TensorMap map_b,
                       const __grid_constant__ ptx::TensorMap map_c, int steps) {
  SHARED_STORAGE(PipelineStorage, shared);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32 % 4, lane = thread % 32;
  const auto full = [&](int stage) { return ptx::cvta_to_shared(&shared.full[stage]); };
  const auto empty = [&](int stage) { return ptx::cvta_to_shared(&shared.empty[stage]); };
  if (thread == 0) {
    for (int stage = 0; stage < kStages; stage++) {
      ptx::mbarrier_init(full(stage), 1);
      ptx::mbarrier_init(empty(stage), 4);  // one arrival a consuming warp
    }
    ptx::fence_mbarrier_init();
    ptx::fence_proxy_async();
  }
  __syncthreads();
  if (thread < 128) {
    if (thread != 0) return;
    for (int step = 0; step < steps; step++) {
      const int stage = step % kStages;
      const unsigned parity = static_cast<unsigned>(step / kStages) % 2;
      if (kFault != Fault::no_empty_wait) ptx::mbarrier_wait_parity(empty(stage), parity ^ 1);
      constexpr unsigned kBytes = 2 * kStageBytes - (kFault == Fault::wrong_transaction_bytes ? 128 : 0);
      ptx::mbarrier_arrive_expect_tx(full(stage), kBytes);
      ptx::cp_async_bulk_tensor_load_2d(ptx::cvta_to_shared(shared.a[stage]), &map_a, full(stage), step * 64,
                                        0);
      ptx::cp_async_bulk_tensor_load_2d(ptx::cvta_to_shared(shared.b[stage]), &map_b, full(stage), step * 64,
                                        0);
    }
    return;
  }
  REGS(float, d, [32]);
  UNROLL
  for (int i = 0; i < 32; i++) d[i] = 0;
  const auto release = [&](int step) {
    __syncwarp();
    if (lane == 0) ptx::mbarrier_arrive(empty(step % kStages));
  };
  for (int step = 0; step < steps; step++) {
    const int stage = step % kStages;
    const unsigned parity = static_cast<unsigned>(step / kStages) % 2;
    if (kFault == Fault::ignores_try_wait) {
      ptx::mbarrier_try_wait_parity(full(stage), parity);
    } else if (kFault != Fault::no_full_wait) {
      ptx::mbarrier_wait_parity(full(stage), parity);
    }
    ptx::wgmma_fence_operand(d);
    if (kFault != Fault::no_wgmma_fence) ptx::wgmma_fence();
    UNROLL
    for (int k = 0; k < 64; k += 16) {
      const auto descriptor = [&](const bf16* tile) {
        return ptx::wgmma_descriptor(ptx::cvta_to_shared(tile) + static_cast<uint32_t>(k * 2), 16, 1024,
                                     ptx::Swizzle::b128);
      };
      ptx::wgmma_m64k16<bf16, 64>(d, descriptor(shared.a[stage]), descriptor(shared.b[stage]), 1);
    }
    ptx::wgmma_commit_group();
    if (kFault == Fault::stage_released_early) release(step);
    ptx::wgmma_wait_group<1>();
    if (kFault != Fault::stage_released_early && step > 0) release(step - 1);
  }
  if (kFault != Fault::no_wgmma_wait) ptx::wgmma_wait_group<0>();
  ptx::wgmma_fence_operand(d);
  const int row = warp * 16 + lane % 16;
  UNROLL
  for (int j = 0; j < 4; j++) {
    uint32_t r[4];
    UNROLL
    for (int i = 0; i < 4; i++) r[i] = ptx::cvt_rn_x2<bf16>(d[8 * j + 2 * i], d[8 * j + 2 * i + 1]);
    const int chunk = (2 * j + lane / 16) ^ (row % 8);
    ptx::stmatrix_x4(ptx::cvta_to_shared(shared.c) + static_cast<uint32_t>(row * 128 + chunk * 16), r);
  }
  if (kFault != Fault::no_proxy_fence) ptx::fence_proxy_async();
  if (kFault != Fault::no_named_barrier) ptx::barrier_sync(1, 128);
  if (thread == 128) {
    ptx::cp_async_bulk_tensor_store_2d(&map_c, ptx::cvta_to_shared(shared.c), 0, 0);
    ptx::cp_async_bulk_commit_group();
    if (kFault != Fault::no_store_wait) ptx::cp_async_bulk_wait_group<0>();
  }
}

// out[count - 1 - i] = 2 * in[i]; blocks past the count have nothing to do. The first block of a launch reads
// what the last one of the launch before has written, and may write over what that reads.
template <Fault kFault>
__global__ void double_reversed(const float* in, float* out, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (kFault == Fault::no_grid_wait_when_idle && i >= count) return;
  const bool early = kFault == Fault::reads_before_grid_wait && i < count;
  const float before = early ? in[i] : 0.0f;
  if (kFault == Fault::writes_before_grid_wait && i < count) out[count - 1 - i] = 0.0f;
  if (kFault != Fault::no_grid_wait) wait_for_stream();
  if (i < count) out[count - 1 - i] = 2 * (early ? before : in[i]);
}

constexpr int kExchangers = 4;

struct ExchangeStorage {
  float part[2][kExchangers];
  uint64_t full, read;
};

// out[round][block] = the sum of in[round] over the blocks of a cluster, each of which tells all others its
// number, as those of a product with a norm do. That a block has read is told, too, and nobody waits for it,
// as at the end of a ring.
template <Fault kFault>
__global__ void __launch_bounds__(32) exchange_sums(const float* in, float* out, int rounds) {
  SHARED_STORAGE(ExchangeStorage, shared);
  const int lane = static_cast<int>(threadIdx.x), rank = static_cast<int>(ptx::cluster_ctarank());
  const auto meet = [] {
    ptx::barrier_cluster_arrive();
    ptx::barrier_cluster_wait();
  };
  const auto tell = [&](const uint64_t& barrier) {
    __syncwarp();
    ptx::mbarrier_arrive_rank_if(lane < kExchangers, ptx::cvta_to_shared(&barrier),
                                 static_cast<unsigned>(lane));
  };
  if (lane == 0) {
    ptx::mbarrier_init(ptx::cvta_to_shared(&shared.full), kExchangers);
    ptx::mbarrier_init(ptx::cvta_to_shared(&shared.read), kExchangers);
    ptx::fence_mbarrier_init();
  }
  if (kFault != Fault::no_first_meeting) meet();
  for (int round = 0; round < rounds; round++) {
    auto& part = shared.part[kFault == Fault::one_exchange_buffer ? 0 : round % 2];
    if (kFault == Fault::sends_after_arriving) tell(shared.full);
    if (lane < kExchangers) {
      const uint32_t own = ptx::cvta_to_shared(&part[rank]);
      ptx::st_shared_cluster_f32(ptx::mapa(own, static_cast<unsigned>(lane)), in[round * kExchangers + rank]);
    }
    if (kFault != Fault::sends_after_arriving) tell(shared.full);
    if (kFault != Fault::no_exchange_wait)
      ptx::mbarrier_wait_parity_cluster(ptx::cvta_to_shared(&shared.full), static_cast<unsigned>(round) % 2);
    float sum = 0;
    for (int i = 0; i < kExchangers; i++) sum += part[i];
    if (lane == 0) out[round * kExchangers + rank] = sum;
    tell(shared.read);
  }
  if (kFault != Fault::no_last_meeting) meet();
}

}  // namespace padless::cuda::test
