// out = norm(in[M, K] weight[N, K]^T + bias + residual) on Hopper: the persistent product (pipeline.cuh) by
// clusters whose blocks own whole rows between them, and the epilogue of norm_epilogue.cuh.
//
// Blocks of one row share the rows of `in`, blocks of one column the weight. Clusters take row tile after row
// tile; rows are counted on the device, and blocks whose rows lie past the count take part in everything but
// the stores. The weight's first stages, bias, gamma and beta are read before the kernel ahead has ended.
#pragma once

#include "cuda/gemm/sm90/norm_epilogue.cuh"
#include "cuda/ptx/fence.cuh"
#include "cuda/tile/row_count.cuh"

namespace padless::cuda {

template <int kShape>
struct NormShape {
  static constexpr PersistentTile kTile = kNormTiles[kShape];
};

template <class T, int kShape>
struct NormConfig : PipelineConfig<T, NormShape<kShape>> {
  using Base = PipelineConfig<T, NormShape<kShape>>;
  static_assert(Base::kParts == 1, "an exchange a tile");
  struct Storage {
    typename Base::Stage stages[Base::kStages];
    NormStorage<T, Base::kCols, Base::kColumnBlocks> norm;
    RingBarriers<Base::kStages> ring;
  };
};

template <class T>
struct NormGemmParams {
  RowCount rows;
  int k;
  NormEpilogue<T> epilogue;
};

template <class T, int kShape>
__global__ void __launch_bounds__(kPersistentThreads, 1)
    norm_gemm_kernel(const __grid_constant__ ptx::TensorMap in, const __grid_constant__ ptx::TensorMap weight,
                     const NormGemmParams<T> p) {
  using Config = NormConfig<T, kShape>;
  using Storage = typename Config::Storage;
  SHARED_STORAGE(Storage, shared);
  const int rows = __shfl_sync(~0u, p.rows.get(), 0), steps = (p.k + Config::kBlockK - 1) / Config::kBlockK;
  const typename Config::Tiles tiles(rows, p.epilogue.cols);
  if (threadIdx.x == 0) {
    shared.ring.init(Config::kEmptyArrivals);
    shared.norm.exchange.init();
    ptx::fence_mbarrier_init();
    ptx::prefetch_tensormap(&in);
    ptx::prefetch_tensormap(&weight);
  }
  shared.norm.columns.load(p.epilogue, tiles.column_rank * Config::kCols);
  meet<Config>();
  run_pipeline<Config, T>(shared, in, weight, tiles, steps, [&](int warp) {
    return NormFinisher<T, Config::kCols, Config::kColumnBlocks>{
        shared.norm, p.epilogue, rows, tiles.row_rank * Config::kColumnBlocks, tiles.column_rank, warp};
  });
  meet<Config>();  // no block leaves while another may arrive or write here
}

}  // namespace padless::cuda
