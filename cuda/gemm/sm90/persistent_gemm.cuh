// product[M, N] = in[M, K] weight[N, K]^T on Hopper: TMA, wgmma, and a grid of as many blocks as there are
// SMs.
//
// A block has a producer warp and two warpgroups of consumers. The producer copies tiles of both operands,
// 128 bytes of K at a time, into a ring of stages and runs ahead over the ends of tiles. Consumers multiply
// from shared memory and finish their part of the tile in registers. What one warpgroup spends on the
// epilogue, the other spends on products:
//   alternate      each takes every other tile of the block
//   not alternate  each takes half of the rows of every tile; the second starts kLag steps behind the first
// In a cluster the blocks take neighbouring row tiles; each reads its part of the weight's tile for all.
//
// Before the kernel ahead of this one has ended, the producer fetches the first stages of the weight. The
// number of rows, which says where the first tile lies, is read then, too.
//
// Rows are counted on the device. The tensor maps reach to the capacity: rows of the input past the true
// count, whatever they hold, make rows of the product that are not stored. Columns and k past the matrices
// arrive as zeros.
//
// Every element is accumulated over k in ascending order, one wgmma's 32 bytes at a time (of e4m3 a stage's
// 128 bytes, whose sum is added to that of the stages before), in every tile shape: a row's bits depend on
// the row and the weight alone. That the shape of a wgmma does not change an element's bits is an assumption
// about the hardware; kernel_gemm_sm90 checks it wherever it runs.
#pragma once

#include "cuda/gemm/sm90/fragment_epilogue.cuh"
#include "cuda/gemm/sm90/operand.cuh"
#include "cuda/gemm/sm90/tiles.h"
#include "cuda/ptx/barrier.cuh"
#include "cuda/ptx/cluster.cuh"
#include "cuda/ptx/fence.cuh"
#include "cuda/ptx/setmaxnreg.cuh"
#include "cuda/ptx/tma.cuh"
#include "cuda/tile/ring.cuh"
#include "cuda/tile/stream_order.cuh"
#include "cuda/tile/tile_order.cuh"

namespace padless::cuda {

constexpr int kConsumers = 2, kPersistentThreads = (1 + kConsumers) * kWarpgroup;

// Operands in T, the epilogue E.
template <class T, class E, int kShape>
struct PersistentConfig {
  static constexpr PersistentTile kTile = persistent_tile(std::is_same_v<T, e4m3>, kShape);
  static constexpr int kRows = kTile.rows, kCols = kTile.cols, kStages = kTile.stages,
                       kCluster = kTile.cluster;
  static constexpr bool kAlternate = kTile.alternate;
  static constexpr int kBlockK = kOperandBytes / static_cast<int>(sizeof(T));
  static constexpr int kRowsOfConsumer = kAlternate ? kRows : kRows / kConsumers;
  static constexpr int kParts = kRowsOfConsumer / kWgmmaRows;  // wgmmas on top of each other
  static constexpr int kInBytes = kRows * kOperandBytes, kWeightBytes = kCols * kOperandBytes;
  static constexpr int kEmptyArrivals = kCluster * (kWarpgroup / 32) * (kAlternate ? 1 : kConsumers);
  static_assert(kRowsOfConsumer % kWgmmaRows == 0 && kParts * kCols / 2 <= (kSumsByStage<T> ? 96 : 128),
                "registers of the accumulators");

  struct alignas(1024) Stage {
    T in[kRows][kBlockK];
    T weight[kCols][kBlockK];
  };
  struct Storage {
    Stage stages[kStages];
    EpilogueStrip<E, kCols> strips[kConsumers * kWarpgroup / 32];
    RingBarriers<kStages> ring;
  };
};

template <class E>
struct PersistentParams {
  RowCount rows;
  int n, k;
  E epilogue;
};

// The weight of one stage; in a cluster the share of it that this block reads for all.
template <class Config, class Tiles>
DEVICE void fetch_weight(typename Config::Storage& shared, const ptx::TensorMap& weight, const Tiles& tiles,
                         int stage, int k, int column) {
  constexpr int kShare = Config::kCols / Config::kCluster;
  auto& to = shared.stages[stage].weight;
  const uint32_t full = ptx::cvta_to_shared(&shared.ring.full[stage]);
  if constexpr (Config::kCluster == 1) {
    ptx::cp_async_bulk_tensor_load_2d(ptx::cvta_to_shared(&to[0]), &weight, full, k, column);
  } else {
    constexpr auto kEveryBlock = static_cast<uint16_t>((1 << Config::kCluster) - 1);
    const int share = tiles.rank * kShare;
    ptx::cp_async_bulk_tensor_load_2d_multicast(ptx::cvta_to_shared(&to[share]), &weight, full, k,
                                                column + share, kEveryBlock);
  }
}

// The weight of the first stages, whose inputs produce() adds: their number.
template <class Config, class Tiles>
DEVICE int fetch_first_weights(typename Config::Storage& shared, const ptx::TensorMap& weight,
                               const Tiles& tiles, int steps) {
  const int ahead = tiles.count() > 0 ? min(steps, Config::kStages) : 0;
  for (int step = 0; step < ahead; step++) {
    ptx::mbarrier_expect_tx(ptx::cvta_to_shared(&shared.ring.full[step]), Config::kWeightBytes);
    fetch_weight<Config>(shared, weight, tiles, step, step * Config::kBlockK, tiles.origin(0).col);
  }
  return ahead;
}

template <class Config, class Tiles>
DEVICE void produce(typename Config::Storage& shared, const ptx::TensorMap& in, const ptx::TensorMap& weight,
                    const Tiles& tiles, int steps, int ahead) {
  RingPosition<Config::kStages> at;
  for (int i = 0; i < tiles.count(); i++) {
    const auto origin = tiles.origin(i);
    for (int step = 0; step < steps; step++, at.advance()) {
      const bool has_weight = i == 0 && step < ahead;
      const int k = step * Config::kBlockK;
      const uint32_t full =
          begin_fill(shared.ring, at, Config::kInBytes + (has_weight ? 0 : Config::kWeightBytes));
      ptx::cp_async_bulk_tensor_load_2d(ptx::cvta_to_shared(&shared.stages[at.stage].in[0]), &in, full, k,
                                        origin.row);
      if (!has_weight) fetch_weight<Config>(shared, weight, tiles, at.stage, k, origin.col);
    }
  }
}

// One consumer waits until the other gives it the tensor cores. Alternating consumers need the order for
// another reason, too: the parity of a stage that is more than one round of the ring ahead says nothing.
DEVICE void wait_for_turn(int consumer) {
  ptx::barrier_sync(1 + static_cast<unsigned>(consumer), kConsumers * kWarpgroup);
}
DEVICE void give_turn(int consumer) {
  ptx::barrier_arrive(2 - static_cast<unsigned>(consumer), kConsumers * kWarpgroup);
}

// sum += product, of the parts of a tile, and of the first step sum = product.
template <int kParts, int kValues>
DEVICE void add_stage(float (&sum)[kParts][kValues], const float (&product)[kParts][kValues], bool first) {
  UNROLL
  for (int part = 0; part < kParts; part++) {
    UNROLL
    for (int i = 0; i < kValues; i++) sum[part][i] = product[part][i] + (first ? 0.0f : sum[part][i]);
  }
}

template <class Config, class T, class E, class Tiles>
DEVICE void consume(typename Config::Storage& shared, const PersistentParams<E>& p, const Tiles& tiles,
                    int rows, int steps, int consumer) {
  constexpr int kLag = 2;  // steps; the ring holds them besides what is on its way
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32 % 4, 0);
  auto& strip = shared.strips[consumer * 4 + warp];
  RingPosition<Config::kStages> at;
  if constexpr (Config::kAlternate) at.advance(consumer * steps);

  for (int i = Config::kAlternate ? consumer : 0; i < tiles.count();
       i += Config::kAlternate ? kConsumers : 1) {
    const auto origin = tiles.origin(i);
    const int part_row = Config::kAlternate ? 0 : consumer * kWgmmaRows;
    strip.load_columns(p.epilogue, origin.col, p.n);
    if (Config::kAlternate ? i > 0 : i == 0 && consumer == 1) wait_for_turn(consumer);

    REGS(float, product, [Config::kParts][Config::kCols / 2]);
    REGS(float, sum, [Config::kParts][Config::kCols / 2]);
    int previous = 0;
    for (int step = 0; step < steps; step++) {
      wait_full(shared.ring, at);
      auto& stage = shared.stages[at.stage];
      const uint64_t in = operand_descriptor(&stage.in[part_row]),
                     weight = operand_descriptor(&stage.weight[0]);
      UNROLL
      for (int part = 0; part < Config::kParts; part++) ptx::wgmma_fence_operand(product[part]);
      ptx::wgmma_fence();
      UNROLL
      for (int k = 0; k < kWgmmasOfStage; k++) {
        UNROLL
        for (int part = 0; part < Config::kParts; part++) {
          const bool adds = k > 0 || (step > 0 && !kSumsByStage<T>);
          multiply_operands<T, Config::kCols>(product[part], at_operand(in, part * kWgmmaRows, k),
                                              at_operand(weight, 0, k), adds ? 1 : 0);
        }
      }
      ptx::wgmma_commit_group();
      if constexpr (kSumsByStage<T>) {
        ptx::wgmma_wait_group<0>();
        UNROLL
        for (int part = 0; part < Config::kParts; part++) ptx::wgmma_fence_operand(product[part]);
        release_stage<Config::kCluster>(shared.ring, at.stage);
        add_stage(sum, product, step == 0);
      } else {
        ptx::wgmma_wait_group<1>();
        if (step > 0) release_stage<Config::kCluster>(shared.ring, previous);
      }
      if (!Config::kAlternate && i == 0 && consumer == 0 && step == min(kLag, steps) - 1) give_turn(consumer);
      previous = at.stage;
      at.advance();
    }
    if (Config::kAlternate && i + 1 < tiles.count()) give_turn(consumer);
    if constexpr (!kSumsByStage<T>) {
      ptx::wgmma_wait_group<0>();
      UNROLL
      for (int part = 0; part < Config::kParts; part++) ptx::wgmma_fence_operand(product[part]);
      release_stage<Config::kCluster>(shared.ring, previous);
    }
    if constexpr (Config::kAlternate) at.advance(steps);  // the other warpgroup's tile

    UNROLL
    for (int part = 0; part < Config::kParts; part++) {
      const int row = origin.row + part_row + part * kWgmmaRows + warp * kStripRows;
      finish_fragments<Config::kCols>(kSumsByStage<T> ? sum[part] : product[part], strip, p.epilogue, row,
                                      rows, origin.col);
    }
  }
}

template <class T, class E, int kShape>
__global__ void __launch_bounds__(kPersistentThreads, 1)
    persistent_gemm_kernel(const __grid_constant__ ptx::TensorMap in,
                           const __grid_constant__ ptx::TensorMap weight, const PersistentParams<E> p) {
  using Config = PersistentConfig<T, E, kShape>;
  using Storage = typename Config::Storage;
  constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;  // of 512 that three lanes share
  SHARED_STORAGE(Storage, shared);
  if (threadIdx.x == 0) {
    shared.ring.init(Config::kEmptyArrivals);
    ptx::fence_mbarrier_init();
    ptx::prefetch_tensormap(&in);
    ptx::prefetch_tensormap(&weight);
  }
  const auto meet = [] {
    if constexpr (Config::kCluster == 1) {
      __syncthreads();
    } else {
      ptx::barrier_cluster_arrive();
      ptx::barrier_cluster_wait();
    }
  };
  meet();
  const int rows = __shfl_sync(~0u, p.rows.get(), 0), steps = (p.k + Config::kBlockK - 1) / Config::kBlockK;
  const PersistentTiles<Config::kRows, Config::kCols, Config::kCluster> tiles(rows, p.n);
  const int ahead = threadIdx.x == 0 ? fetch_first_weights<Config>(shared, weight, tiles, steps) : 0;
  wait_for_stream();
  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / kWarpgroup, 0);
  if (warpgroup == 0) {
    ptx::setmaxnreg_dec<kProducerRegisters>();
    if (threadIdx.x == 0) produce<Config>(shared, in, weight, tiles, steps, ahead);
    __syncwarp();
  } else {
    ptx::setmaxnreg_inc<kConsumerRegisters>();
    consume<Config, T>(shared, p, tiles, rows, steps, warpgroup - 1);
  }
  if constexpr (Config::kCluster > 1) meet();  // no block leaves while another may arrive at its barriers
}

}  // namespace padless::cuda
