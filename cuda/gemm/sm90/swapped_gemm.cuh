// product[M, N] = in[M, K] weight[N, K]^T on Hopper for few rows: the weight takes the place of the 64 rows
// of a wgmma, the tokens that of its columns, of which there may be as few as eight.
//
// Streaming the weight is all the work. A block of one warpgroup multiplies 64 rows of it, over all of K or
// one of the parts whose sums reduce_splits_kernel adds in order, and keeps kSwappedStages copies of 128
// bytes of K on their way, those of the weight from before the kernel ahead has ended. The accumulators are
// turned in shared memory into rows of tokens.
//
// Sums run over k as in persistent_gemm.cuh.
#pragma once

#include "cuda/gemm/epilogue.cuh"
#include "cuda/gemm/sm90/operand.cuh"
#include "cuda/gemm/sm90/tiles.h"
#include "cuda/ptx/fence.cuh"
#include "cuda/ptx/tma.cuh"
#include "cuda/tile/ring.cuh"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda {

template <class T, int kTokens>
struct SwappedStorage {
  static constexpr int kBlockK = kOperandBytes / static_cast<int>(sizeof(T));
  static constexpr unsigned kWeightBytes = kSwappedOutputs * kOperandBytes,
                            kInBytes = kTokens * kOperandBytes;
  struct alignas(1024) Stage {
    T weight[kSwappedOutputs][kBlockK];
    T in[kTokens][kBlockK];
  };
  // Four floats of padding: a warp's store of eight outputs of four tokens meets every bank once.
  struct Product {
    float tokens[kTokens][kSwappedOutputs + 4];
  };
  union {
    Stage stages[kSwappedStages];
    Product product;  // when the last stage has been multiplied
  };
  uint64_t full[kSwappedStages];
};

template <class E>
struct SwappedParams {
  RowCount rows;
  int n, k;
  int k_per_split;  // a multiple of what a stage holds
  float* partial;   // [splits, rows.capacity, n], or null
  E epilogue;
};

// Operands in T, the epilogue E.
template <class T, class E, int kTokens>
__global__ void __launch_bounds__(kWarpgroup)
    swapped_gemm_kernel(const __grid_constant__ ptx::TensorMap in,
                        const __grid_constant__ ptx::TensorMap weight, const SwappedParams<E> p) {
  using Storage = SwappedStorage<T, kTokens>;
  SHARED_STORAGE(Storage, shared);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int first_output = static_cast<int>(blockIdx.x) * kSwappedOutputs,
            first_token = static_cast<int>(blockIdx.y) * kTokens, split = static_cast<int>(blockIdx.z);
  const int rows = __shfl_sync(~0u, p.rows.get(), 0);
  if (first_token >= rows) return wait_for_stream();
  const int k_begin = split * p.k_per_split, k_end = min(p.k, k_begin + p.k_per_split);
  const int steps = (max(k_end - k_begin, 0) + Storage::kBlockK - 1) / Storage::kBlockK;

  const auto full_of = [&](int step) { return ptx::cvta_to_shared(&shared.full[step % kSwappedStages]); };
  const auto fetch_weight = [&](int step) {
    if (thread != 0 || step >= steps) return;
    ptx::mbarrier_expect_tx(full_of(step), Storage::kWeightBytes);
    ptx::cp_async_bulk_tensor_load_2d(ptx::cvta_to_shared(&shared.stages[step % kSwappedStages].weight[0]),
                                      &weight, full_of(step), k_begin + step * Storage::kBlockK,
                                      first_output);
  };
  const auto fetch_in = [&](int step) {
    if (thread != 0 || step >= steps) return;
    ptx::mbarrier_arrive_expect_tx(full_of(step), Storage::kInBytes);
    ptx::cp_async_bulk_tensor_load_2d(ptx::cvta_to_shared(&shared.stages[step % kSwappedStages].in[0]), &in,
                                      full_of(step), k_begin + step * Storage::kBlockK, first_token);
  };
  if (thread == 0) {
    ptx::prefetch_tensormap(&weight);
    ptx::prefetch_tensormap(&in);
    for (int stage = 0; stage < kSwappedStages; stage++) ptx::mbarrier_init(full_of(stage), 1);
    ptx::fence_mbarrier_init();
  }
  for (int step = 0; step < kSwappedStages; step++) fetch_weight(step);
  wait_for_stream();
  for (int step = 0; step < kSwappedStages; step++) fetch_in(step);
  __syncthreads();

  REGS(float, product, [kTokens / 2]);
  REGS(float, sum, [kTokens / 2]);
  UNROLL
  for (int i = 0; i < kTokens / 2; i++) product[i] = sum[i] = 0.0f;
  RingPosition<kSwappedStages> at;
  for (int step = 0; step < steps; step++, at.advance()) {
    __syncwarp();
    ptx::mbarrier_wait_parity(full_of(at.stage), at.parity);
    auto& stage = shared.stages[at.stage];
    const uint64_t a = operand_descriptor(&stage.weight[0]), b = operand_descriptor(&stage.in[0]);
    ptx::wgmma_fence_operand(product);
    ptx::wgmma_fence();
    UNROLL
    for (int k = 0; k < kWgmmasOfStage; k++) {
      const bool adds = k > 0 || !kSumsByStage<T>;
      multiply_operands<T, kTokens>(product, at_operand(a, 0, k), at_operand(b, 0, k), adds ? 1 : 0);
    }
    ptx::wgmma_commit_group();
    ptx::wgmma_wait_group<0>();
    ptx::wgmma_fence_operand(product);
    if constexpr (kSumsByStage<T>) {
      UNROLL
      for (int i = 0; i < kTokens / 2; i++) sum[i] += product[i];
    }
    __syncthreads();
    fetch_weight(step + kSwappedStages);
    fetch_in(step + kSwappedStages);
  }
  UNROLL
  for (int i = 0; i < kTokens / 2; i++) {
    const int output = warp * 16 + lane / 4 + i / 2 % 2 * 8, token = i / 4 * 8 + lane % 4 * 2 + i % 2;
    shared.product.tokens[token][output] = kSumsByStage<T> ? sum[i] : product[i];
  }
  __syncthreads();
  const int width = p.epilogue.glu && p.partial == nullptr ? 2 * kVectorElements : kVectorElements;
  const int per_token = kSwappedOutputs / width;
#pragma unroll 1
  for (int i = thread; i < kTokens * per_token; i += kWarpgroup) {
    const int token = i / per_token, output = i % per_token * width;
    const int row = first_token + token, column = first_output + output;
    if (row >= rows || column >= p.n) continue;
    const float* source = &shared.product.tokens[token][output];
    if (p.partial != nullptr)
      store_partial(source, p.partial + (static_cast<int64_t>(split) * p.rows.capacity + row) * p.n, column,
                    p.n);
    else
      finish(source, p.epilogue, row, column, p.n);
  }
}

}  // namespace padless::cuda
