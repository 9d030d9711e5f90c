// What the persistent GEMMs of Hopper share: the copy of operands into a ring of stages, the main loop over
// it, and how consumers take turns.
//
// A block has a producer warp and two warpgroups of consumers. The producer copies tiles of both operands,
// 128 bytes of K at a time, into the ring and runs ahead over the ends of tiles. Consumers multiply from
// shared memory and finish their part of the tile in registers. What one warpgroup spends on the epilogue,
// the other spends on products:
//   alternate      each takes every other tile of the block
//   not alternate  each takes half of the rows of every tile; the second starts kLag steps behind the first
// Blocks of a cluster that have a tile of the weight, or of the rows, in common each read a part of it for
// all of them.
//
// Every element is accumulated over k in ascending order, one wgmma's 32 bytes at a time (of e4m3 a stage's
// 128 bytes, whose sum is added to that of the stages before), in every tile shape. That the shape of a wgmma
// does not change an element's bits is an assumption about the hardware; kernel_gemm_sm90 checks it wherever
// it runs.
#pragma once

#include "cuda/gemm/sm90/operand.cuh"
#include "cuda/gemm/sm90/tiles.h"
#include "cuda/ptx/barrier.cuh"
#include "cuda/ptx/cluster.cuh"
#include "cuda/ptx/setmaxnreg.cuh"
#include "cuda/ptx/tma.cuh"
#include "cuda/tile/ring.cuh"
#include "cuda/tile/stream_order.cuh"
#include "cuda/tile/tile_order.cuh"

namespace padless::cuda {

constexpr int kConsumers = 2, kPersistentThreads = (1 + kConsumers) * kWarpgroup;
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;  // of 512 that three lanes share

// Operands in T, tiles as Shape::kTile says.
template <class T, class Shape>
struct PipelineConfig {
  static constexpr PersistentTile kTile = Shape::kTile;
  static constexpr int kRows = kTile.rows, kCols = kTile.cols, kStages = kTile.stages,
                       kRowBlocks = kTile.row_blocks, kColumnBlocks = kTile.column_blocks,
                       kCluster = kTile.cluster();
  static constexpr bool kAlternate = kTile.alternate;
  static constexpr int kBlockK = kOperandBytes / static_cast<int>(sizeof(T));
  static constexpr int kRowsOfConsumer = kAlternate ? kRows : kRows / kConsumers;
  static constexpr int kParts = kRowsOfConsumer / kWgmmaRows;  // wgmmas on top of each other
  static constexpr int kInBytes = kRows * kOperandBytes, kWeightBytes = kCols * kOperandBytes;
  static constexpr int kEmptyArrivals = kCluster * (kWarpgroup / 32) * (kAlternate ? 1 : kConsumers);
  static_assert(kRowsOfConsumer % kWgmmaRows == 0 && kParts * kCols / 2 <= (kSumsByStage<T> ? 96 : 128),
                "registers of the accumulators");
  using Tiles = PersistentTiles<kRows, kCols, kRowBlocks, kColumnBlocks>;

  struct alignas(1024) Stage {
    T in[kRows][kBlockK];
    T weight[kCols][kBlockK];
  };
};

// kRows rows of an operand from `row` on, of which kBlocks blocks of the cluster, those in `readers`, each
// read a part for all: this block reads part `rank`.
template <int kRows, int kBlocks, class Rows>
DEVICE void fetch_operand(Rows& to, const ptx::TensorMap& map, uint32_t full, int k, int row, int rank,
                          int readers) {
  constexpr int kShare = kRows / kBlocks;
  static_assert(kShare % 8 == 0, "the swizzle repeats every eight rows");
  if constexpr (kBlocks == 1) {
    ptx::cp_async_bulk_tensor_load_2d(ptx::cvta_to_shared(&to[0]), &map, full, k, row);
  } else {
    ptx::cp_async_bulk_tensor_load_2d_multicast(ptx::cvta_to_shared(&to[rank * kShare]), &map, full, k,
                                                row + rank * kShare, static_cast<uint16_t>(readers));
  }
}

// The weight of one stage, from `column` on.
template <class Config>
DEVICE void fetch_weight(typename Config::Storage& shared, const ptx::TensorMap& weight,
                         const typename Config::Tiles& tiles, int stage, int k, int column) {
  constexpr int kColumn = [] {  // the blocks of one column
    int bits = 0;
    for (int row = 0; row < Config::kRowBlocks; row++) bits |= 1 << (row * Config::kColumnBlocks);
    return bits;
  }();
  fetch_operand<Config::kCols, Config::kRowBlocks>(shared.stages[stage].weight, weight,
                                                   ptx::cvta_to_shared(&shared.ring.full[stage]), k, column,
                                                   tiles.row_rank, kColumn << tiles.column_rank);
}

template <class Config>
DEVICE void fetch_in(typename Config::Storage& shared, const ptx::TensorMap& in,
                     const typename Config::Tiles& tiles, int stage, int k, int row) {
  constexpr int kRow = (1 << Config::kColumnBlocks) - 1;  // the blocks of one row
  fetch_operand<Config::kRows, Config::kColumnBlocks>(
      shared.stages[stage].in, in, ptx::cvta_to_shared(&shared.ring.full[stage]), k, row, tiles.column_rank,
      kRow << (tiles.row_rank * Config::kColumnBlocks));
}

// The weight of the first stages, whose inputs produce() adds: their number.
template <class Config>
DEVICE int fetch_first_weights(typename Config::Storage& shared, const ptx::TensorMap& weight,
                               const typename Config::Tiles& tiles, int steps) {
  const int ahead = tiles.count() > 0 ? min(steps, Config::kStages) : 0;
  for (int step = 0; step < ahead; step++) {
    ptx::mbarrier_expect_tx(ptx::cvta_to_shared(&shared.ring.full[step]), Config::kWeightBytes);
    fetch_weight<Config>(shared, weight, tiles, step, step * Config::kBlockK, tiles.origin(0).col);
  }
  return ahead;
}

template <class Config>
DEVICE void produce(typename Config::Storage& shared, const ptx::TensorMap& in, const ptx::TensorMap& weight,
                    const typename Config::Tiles& tiles, int steps, int ahead) {
  RingPosition<Config::kStages> at;
  for (int i = 0; i < tiles.count(); i++) {
    const auto origin = tiles.origin(i);
    for (int step = 0; step < steps; step++, at.advance()) {
      const bool has_weight = i == 0 && step < ahead;
      const int k = step * Config::kBlockK;
      begin_fill(shared.ring, at, Config::kInBytes + (has_weight ? 0 : Config::kWeightBytes));
      fetch_in<Config>(shared, in, tiles, at.stage, k, origin.row);
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

// The first product of a tile overwrites its accumulators. ptxas cannot see that, and keeps them through the
// epilogue before unless something else writes to them.
template <int kParts, int kValues>
DEVICE void clear(float (&product)[kParts][kValues]) {
  UNROLL
  for (int part = 0; part < kParts; part++) {
    UNROLL
    for (int i = 0; i < kValues; i++) product[part][i] = 0.0f;
  }
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

// All tiles of consumer `consumer`. finisher.begin(column) comes before the products of a tile;
// finisher.finish(product, row, column) takes 16 rows a warp as wgmma leaves them, and must not write to
// them. kHoldsTile: it needs the registers of the accumulators.
template <class Config, class T, class Finisher>
DEVICE void consume(typename Config::Storage& shared, const typename Config::Tiles& tiles, int steps,
                    int consumer, Finisher& finisher) {
  constexpr int kLag = 2;  // steps; the ring holds them besides what is on its way
  constexpr int kWarpRows = kWgmmaRows / 4;
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32 % 4, 0);
  RingPosition<Config::kStages> at;
  if constexpr (Config::kAlternate) at.advance(consumer * steps);

  for (int i = Config::kAlternate ? consumer : 0; i < tiles.count();
       i += Config::kAlternate ? kConsumers : 1) {
    const auto origin = tiles.origin(i);
    const int part_row = Config::kAlternate ? 0 : consumer * kWgmmaRows;
    finisher.begin(origin.col);
    if (Config::kAlternate ? i > 0 : i == 0 && consumer == 1) wait_for_turn(consumer);

    REGS(float, product, [Config::kParts][Config::kCols / 2]);
    REGS(float, sum, [Config::kParts][Config::kCols / 2]);
    if constexpr (Finisher::kHoldsTile) clear(product);
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
      finisher.finish(kSumsByStage<T> ? sum[part] : product[part],
                      origin.row + part_row + part * kWgmmaRows + warp * kWarpRows, origin.col);
    }
  }
}

// What the warpgroups of a block do: the first one's first thread copies, the others consume. The stream's
// order is kept here: only the weight of the first stages is read before the kernel ahead has ended.
// finisher_of(warp): that of consume(), by the number of a warp of the consumers.
template <class Config, class T, class FinisherOf>
DEVICE void run_pipeline(typename Config::Storage& shared, const ptx::TensorMap& in,
                         const ptx::TensorMap& weight, const typename Config::Tiles& tiles, int steps,
                         FinisherOf finisher_of) {
  const int ahead = threadIdx.x == 0 ? fetch_first_weights<Config>(shared, weight, tiles, steps) : 0;
  wait_for_stream();
  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / kWarpgroup, 0);
  if (warpgroup == 0) {
    ptx::setmaxnreg_dec<kProducerRegisters>();
    if (threadIdx.x == 0) produce<Config>(shared, in, weight, tiles, steps, ahead);
    __syncwarp();
  } else {
    ptx::setmaxnreg_inc<kConsumerRegisters>();
    auto finisher = finisher_of(__shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0) - kWarpgroup / 32);
    consume<Config, T>(shared, tiles, steps, warpgroup - 1, finisher);
  }
}

// The blocks of a cluster, or the threads of a block that is alone, wait for each other.
template <class Config>
DEVICE void meet() {
  if constexpr (Config::kCluster == 1) {
    __syncthreads();
  } else {
    ptx::barrier_cluster_arrive();
    ptx::barrier_cluster_wait();
  }
}

}  // namespace padless::cuda
