// product[M, N] = in[M, K] weight[N, K]^T on tensor cores, for bf16 and fp16 with f32 accumulation.
//
// A block computes a kBlockM x kBlockN tile in steps of kBlockK along K. A ring of kStages tiles in shared
// memory is filled by cp.async; while a step is multiplied, the next kStages - 1 are on their way. Rows,
// columns and k beyond the matrices arrive as zeros. The accumulators leave through f32 strips of 16 rows in
// shared memory, private to a warp, so that the epilogue reads and writes global memory in contiguous 16-byte
// vectors.
//
// Every element is accumulated over k in ascending order, 16 at a time, in every tile shape: without split-K
// a row's bits depend on the row and the weight alone.
#pragma once

#include "cuda/gemm/epilogue.cuh"
#include "cuda/ptx/mma.cuh"
#include "cuda/tile/shared_tile.cuh"
#include "cuda/tile/stream_order.cuh"
#include "cuda/tile/tile_order.cuh"

namespace padless::cuda {

template <int kBlockM_, int kBlockN_, int kBlockK_, int kStages_, int kWarpsM_, int kWarpsN_>
struct GemmTile {
  static constexpr int kBlockM = kBlockM_, kBlockN = kBlockN_, kBlockK = kBlockK_, kStages = kStages_;
  static constexpr int kWarpsM = kWarpsM_, kWarpsN = kWarpsN_, kThreads = 32 * kWarpsM * kWarpsN;
  static constexpr int kWarpM = kBlockM / kWarpsM, kWarpN = kBlockN / kWarpsN;
  static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0 && kBlockK % 32 == 0 && kStages >= 2);
};

template <class T>
struct GemmParams {
  const T* in;      // [rows, k]
  const T* weight;  // [n, k]
  int64_t in_stride, weight_stride;
  RowCount rows;
  int n, k;
  int k_per_split;  // a multiple of kBlockK; k without split-K
  float* partial;   // [splits, rows.capacity, n]: where split products go instead of the epilogue; or null
  Epilogue<T> epilogue;
};

template <class T, class Tile>
union GemmStorage {
  struct Stage {
    SharedTile<T, Tile::kBlockM, Tile::kBlockK> in;
    SharedTile<T, Tile::kBlockN, Tile::kBlockK> weight;
  };
  // Eight floats of padding: the four lanes of a quarter warp that write one row start in different banks.
  struct alignas(16) Strip {
    float rows[16][Tile::kWarpN + 8];
  };
  Stage stages[Tile::kStages];
  Strip strips[Tile::kWarpsM * Tile::kWarpsN];
};

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads) tensor_gemm_kernel(const GemmParams<T> p) {
  using Storage = GemmStorage<T, Tile>;
  SHARED_STORAGE(Storage, shared);
  wait_for_stream();
  constexpr int kTilesM = Tile::kWarpM / 16, kTilesN = Tile::kWarpN / 8, kSteps = Tile::kBlockK / 16;
  const int rows = p.rows.get(), tiles_n = (p.n + Tile::kBlockN - 1) / Tile::kBlockN;
  const int tiles_m = (p.rows.capacity + Tile::kBlockM - 1) / Tile::kBlockM;
  const TilePosition tile = tile_position(static_cast<int>(blockIdx.x), tiles_m, tiles_n);
  const int first_row = tile.m * Tile::kBlockM, first_col = tile.n * Tile::kBlockN;
  if (first_row >= rows) return;

  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int warp_row = warp / Tile::kWarpsN * Tile::kWarpM, warp_col = warp % Tile::kWarpsN * Tile::kWarpN;
  const int split = static_cast<int>(blockIdx.y), k_begin = split * p.k_per_split;
  const int k_end = min(p.k, k_begin + p.k_per_split),
            steps = (k_end - k_begin + Tile::kBlockK - 1) / Tile::kBlockK;
  const T* in = p.in + first_row * p.in_stride + k_begin;
  const T* weight = p.weight + first_col * p.weight_stride + k_begin;

  const auto fetch = [&](int step) {
    if (step < steps) {
      auto& stage = shared.stages[step % Tile::kStages];
      const int k = step * Tile::kBlockK, left = k_end - k_begin - k;
      copy_tile_async<Tile::kThreads>(stage.in, in + k, p.in_stride, rows - first_row, left, thread);
      copy_tile_async<Tile::kThreads>(stage.weight, weight + k, p.weight_stride, p.n - first_col, left,
                                      thread);
    }
    ptx::cp_async_commit_group();  // empty past the end, so that the count of groups stays the count of steps
  };
  UNROLL
  for (int step = 0; step < Tile::kStages - 1; step++) fetch(step);

  REGS(float, accumulator, [kTilesM][kTilesN][4]);
  UNROLL
  for (int m = 0; m < kTilesM; m++) {
    UNROLL
    for (int n = 0; n < kTilesN; n++) {
      UNROLL
      for (int i = 0; i < 4; i++) accumulator[m][n][i] = 0.0f;
    }
  }
  for (int step = 0; step < steps; step++) {
    ptx::cp_async_wait_group<Tile::kStages - 2>();
    __syncthreads();  // this stage has arrived for all, and all have left the one that is filled next
    fetch(step + Tile::kStages - 1);
    auto& stage = shared.stages[step % Tile::kStages];
    UNROLL
    for (int k = 0; k < kSteps; k++) {
      REGS(uint32_t, a, [kTilesM][4]);
      REGS(uint32_t, b, [kTilesN][2]);
      UNROLL
      for (int m = 0; m < kTilesM; m++) load_fragment_a(a[m], stage.in, warp_row + m * 16, k * 2, lane);
      UNROLL
      for (int n = 0; n < kTilesN; n += 2) {
        load_fragments_b(b[n], b[n + 1], stage.weight, warp_col + n * 8, k * 2, lane);
      }
      UNROLL
      for (int m = 0; m < kTilesM; m++) {
        UNROLL
        for (int n = 0; n < kTilesN; n++)
          ptx::mma_m16n8k16<T>(accumulator[m][n], a[m], b[n], accumulator[m][n]);
      }
    }
  }
  ptx::cp_async_wait_group<0>();
  __syncthreads();  // the strips take the place of the stages

  auto& strip = shared.strips[warp];
  UNROLL
  for (int m = 0; m < kTilesM; m++) {
    UNROLL
    for (int n = 0; n < kTilesN; n++) {
      const int row = lane / 4, col = n * 8 + lane % 4 * 2;
      *reinterpret_cast<float2*>(&strip.rows[row][col]) =
          make_float2(accumulator[m][n][0], accumulator[m][n][1]);
      *reinterpret_cast<float2*>(&strip.rows[row + 8][col]) =
          make_float2(accumulator[m][n][2], accumulator[m][n][3]);
    }
    __syncwarp();
    const int width = p.epilogue.glu && p.partial == nullptr ? 2 * kVectorElements : kVectorElements;
    const int per_row = Tile::kWarpN / width;
#pragma unroll 1
    for (int i = lane; i < 16 * per_row; i += 32) {
      const int row = first_row + warp_row + m * 16 + i / per_row, strip_col = i % per_row * width;
      const int col = first_col + warp_col + strip_col;
      if (row >= rows || col >= p.n) continue;
      const float* source = &strip.rows[i / per_row][strip_col];
      if (p.partial != nullptr)
        store_partial(source, p.partial + (static_cast<int64_t>(split) * p.rows.capacity + row) * p.n, col,
                      p.n);
      else
        finish(source, p.epilogue, row, col, p.n);
    }
    __syncwarp();  // the next strip overwrites this one
  }
}

}  // namespace padless::cuda
