// product[M, N] = in[M, K] weight[N, K]^T on Hopper: TMA, wgmma, and a grid of as many blocks as there are
// SMs (pipeline.cuh). The blocks of a cluster take neighbouring row tiles and share the weight's tile.
//
// Before the kernel ahead of this one has ended, the producer fetches the first stages of the weight. The
// number of rows, which says where the first tile lies, is read then, too.
//
// Rows are counted on the device. The tensor maps reach to the capacity: rows of the input past the true
// count, whatever they hold, make rows of the product that are not stored. Columns and k past the matrices
// arrive as zeros. A row's bits depend on the row and the weight alone.
#pragma once

#include "cuda/gemm/sm90/fragment_epilogue.cuh"
#include "cuda/gemm/sm90/pipeline.cuh"
#include "cuda/ptx/fence.cuh"

namespace padless::cuda {

template <class T, int kShape>
struct PersistentShape {
  static constexpr PersistentTile kTile = persistent_tile(std::is_same_v<T, e4m3>, kShape);
  static_assert(kTile.column_blocks == 1);
};

// Operands in T, the epilogue E.
template <class T, class E, int kShape>
struct PersistentConfig : PipelineConfig<T, PersistentShape<T, kShape>> {
  using Base = PipelineConfig<T, PersistentShape<T, kShape>>;
  struct Storage {
    typename Base::Stage stages[Base::kStages];
    EpilogueStrip<E, Base::kCols> strips[kConsumers * kWarpgroup / 32];
    RingBarriers<Base::kStages> ring;
  };
};

template <class E>
struct PersistentParams {
  RowCount rows;
  int n, k;
  E epilogue;
};

// Of a warp.
template <class E, int kCols>
struct EpilogueFinisher {
  static constexpr bool kHoldsTile = false;
  EpilogueStrip<E, kCols>& strip;
  const PersistentParams<E>& p;
  int rows;

  DEVICE void begin(int column) { strip.load_columns(p.epilogue, column, p.n); }
  DEVICE void finish(const float (&product)[kCols / 2], int row, int column) {
    finish_fragments<kCols>(product, strip, p.epilogue, row, rows, column);
  }
};

template <class T, class E, int kShape>
__global__ void __launch_bounds__(kPersistentThreads, 1)
    persistent_gemm_kernel(const __grid_constant__ ptx::TensorMap in,
                           const __grid_constant__ ptx::TensorMap weight, const PersistentParams<E> p) {
  using Config = PersistentConfig<T, E, kShape>;
  using Storage = typename Config::Storage;
  SHARED_STORAGE(Storage, shared);
  if (threadIdx.x == 0) {
    shared.ring.init(Config::kEmptyArrivals);
    ptx::fence_mbarrier_init();
    ptx::prefetch_tensormap(&in);
    ptx::prefetch_tensormap(&weight);
  }
  meet<Config>();
  const int rows = __shfl_sync(~0u, p.rows.get(), 0), steps = (p.k + Config::kBlockK - 1) / Config::kBlockK;
  const typename Config::Tiles tiles(rows, p.n);
  run_pipeline<Config, T>(shared, in, weight, tiles, steps, [&](int warp) {
    return EpilogueFinisher<E, Config::kCols>{shared.strips[warp], p, rows};
  });
  if constexpr (Config::kCluster > 1) meet<Config>();  // no block leaves while another may arrive here
}

}  // namespace padless::cuda
