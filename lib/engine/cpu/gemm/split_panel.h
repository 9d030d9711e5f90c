// fp32 products over one panel on tile registers, each value as three parts of bf16 (bf16_parts.h).
//
// Panels keep fp32 weights, those of the kernel without tiles. A block of their steps is split into tiles
// that stay in L2 while all rows go by. Six products of parts are added to a sum for each tile of 32 steps,
// always in the same order. Six tiles hold sums, two of rows times three vectors, so that one each is left
// for rows and weights. What the next tile of steps reads is fetched into L1 meanwhile: tile loads wait where
// others would overlap.
#pragma once

#include "lib/engine/cpu/gemm/bf16_parts.h"
#include "lib/engine/cpu/gemm/tile_panel.h"

namespace padless {
namespace {

constexpr int kSplitVectors = 3;
constexpr int kSplitATile = kSumTiles * kSplitVectors;
constexpr int kSplitBTile = kSplitATile + 1;
/** A tile of weights: 16 vectors of pairs. */
constexpr int64_t kWeightTileBytes = int64_t{kTileSteps} * kTileBytes;
/** Bytes of a row that hold the parts of a tile's steps. */
constexpr int64_t kRowParts = int64_t{kParts} * kTileBytes;
/** Tiles of steps in a block. */
constexpr int kSplitTiles = 16;

struct F32Tiles {
  using Scalar = float;
  using Scales = NoScales;
  static constexpr bool kOneATile = true;
  static simd::Vec value(Scales, int64_t, const float* row_sums, int vector) {
    return simd::load(row_sums + vector * simd::Vec::kLanes);
  }
  static TileShapes shapes(int rows) {
    TileShapes shapes;
    for (int tile = 0; tile <= kSplitBTile; ++tile) {
      shapes.rows[tile] = static_cast<uint8_t>(rows < kTileRows && tile != kSplitBTile ? rows : kTileRows);
      shapes.row_bytes[tile] = kTileBytes;
    }
    return shapes;
  }
};

/** Splits a tile of steps of a panel into [part][vector] tiles of pairs. `load(step, vector)` gives the
 * weights. */
template <int kVectors, class Load>
[[gnu::always_inline]] inline void split_tile(char* weights, const Load& load) {
#pragma GCC unroll 4
  for (int step = 0; step < kTileSteps; ++step) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      store_parts(weights + v * kWeightTileBytes + step * kTileBytes, kVectors * kWeightTileBytes,
                  load(step, v), load(step + kTileSteps, v));
    }
  }
}

/** The first of `steps` steps, at most a tile of them; zeros where there are fewer. */
template <int kVectors>
void split_steps(const char* panel, int64_t steps, char* weights) {
  const auto load = [panel](int step, int v) {
    return simd::load(reinterpret_cast<const float*>(panel + (step * kVectors + v) * kTileBytes));
  };
  if (steps >= kPartSteps) return split_tile<kVectors>(weights, load);
  split_tile<kVectors>(weights, [&](int step, int v) { return step < steps ? load(step, v) : simd::zero(); });
}

struct PartProduct {
  int a_part;
  int b_part;
};
/** From the smallest on; neighbours share a part. */
constexpr PartProduct kPartProducts[] = {{2, 0}, {1, 0}, {0, 0}, {0, 2}, {0, 1}, {1, 1}};
constexpr int kPartProductCount = 6;

/** One product of tiles among those of a tile of steps. */
struct SplitStep {
  PartProduct parts;
  int vector;
  int row_tile;
};

/** Back and forth through the tiles of rows, so that every other product finds its rows in place. */
constexpr SplitStep split_step(int index, int row_tiles, int vectors) {
  const int column = index / row_tiles;
  const int turn = index % row_tiles;
  return {kPartProducts[column / vectors], column % vectors, column % 2 == 0 ? turn : row_tiles - 1 - turn};
}

/** What the next tile of steps reads, fetched from L2 during the products of this one. */
struct Ahead {
  const char* a;
  const char* weights;

  template <int kIndex, int kCount, int kRowTiles, int kVectors>
  [[gnu::always_inline]] void fetch(int64_t a_stride) const {
    constexpr int kRows = kRowTiles * kTileRows;
    constexpr int kLines = kParts * kVectors * kTileSteps;
    for (int row = kIndex * kRows / kCount; row < (kIndex + 1) * kRows / kCount; ++row) {
      for (int part = 0; part < kParts; ++part) __builtin_prefetch(a + row * a_stride + part * kTileBytes);
    }
    for (int line = kIndex * kLines / kCount; line < (kIndex + 1) * kLines / kCount; ++line) {
      __builtin_prefetch(weights + line * kTileBytes);
    }
  }
};

/** Adds the products of one tile of steps to all sums, from step kIndex on. */
template <class Tiles, int kRowTiles, int kVectors, int kIndex = 0>
[[gnu::always_inline]] inline void add_part_products(Tiles& tiles, const char* a, int64_t a_stride,
                                                     const char* weights, const Ahead& ahead) {
  constexpr SplitStep kNow = split_step(kIndex, kRowTiles, kVectors);
  constexpr SplitStep kBefore = split_step(kIndex > 0 ? kIndex - 1 : 0, kRowTiles, kVectors);
  if constexpr (kIndex == 0 || kNow.parts.b_part != kBefore.parts.b_part || kNow.vector != kBefore.vector) {
    tiles.template load<kSplitBTile>(
        weights + (kNow.parts.b_part * kVectors + kNow.vector) * kWeightTileBytes, kTileBytes);
  }
  if constexpr (kIndex == 0 || kNow.parts.a_part != kBefore.parts.a_part ||
                kNow.row_tile != kBefore.row_tile) {
    tiles.template load<kSplitATile>(
        a + kNow.row_tile * kTileRows * a_stride + kNow.parts.a_part * kTileBytes, a_stride);
  }
  tiles.template dot<PairProduct, kNow.row_tile * kSplitVectors + kNow.vector, kSplitATile, kSplitBTile>();
  ahead.template fetch<kIndex, kPartProductCount * kVectors * kRowTiles, kRowTiles, kVectors>(a_stride);
  if constexpr (kIndex + 1 < kPartProductCount * kVectors * kRowTiles) {
    add_part_products<Tiles, kRowTiles, kVectors, kIndex + 1>(tiles, a, a_stride, weights, ahead);
  }
}

/** sums[rows, vectors] = (resume ? sums : 0) + a * weights over `count` tiles of steps. */
template <class Tiles, int kRowTiles, int kVectors>
void multiply_split(Tiles& tiles, const char* a, int64_t a_stride, const char* weights, int64_t count,
                    void* sums, bool resume, Meanwhile<F32Tiles>& meanwhile) {
  constexpr int64_t kSplitTileBytes = int64_t{kParts} * kVectors * kWeightTileBytes;
  begin_sums<Tiles, kRowTiles, kVectors, kSplitVectors>(tiles, sums, resume);
  for (int64_t i = 0; i < count; ++i, a += kRowParts, weights += kSplitTileBytes) {
    const bool last = i + 1 == count;
    const Ahead ahead = {last ? a + kRowTiles * kTileRows * a_stride - i * kRowParts : a + kRowParts,
                         last ? weights - i * kSplitTileBytes : weights + kSplitTileBytes};
    add_part_products<Tiles, kRowTiles, kVectors>(tiles, a, a_stride, weights, ahead);
    meanwhile.step();
  }
  end_sums<Tiles, kRowTiles, kVectors, kSplitVectors>(tiles, sums);
}

template <class Tiles, int kVectors>
void multiply_split_panel(const PanelTask& task) {
  constexpr int64_t kSplitTileBytes = int64_t{kParts} * kVectors * kWeightTileBytes;
  char* weights = task.scratch;
  const int64_t tiles_in_all = (task.steps + kPartSteps - 1) / kPartSteps;
  multiply_blocks<Tiles, F32Tiles, CalledEpilogue<F32Tiles>>(
      task, tiles_in_all, kSplitTiles,
      [&](Tiles& tiles, const TileBlock& block, float* sums, bool resume, Meanwhile<F32Tiles>& meanwhile) {
        for (int64_t i = 0; block.row == 0 && i < block.count; ++i) {
          const int64_t step = (block.first + i) * kPartSteps;
          split_steps<kVectors>(task.panel + step * kVectors * kTileBytes, task.steps - step,
                                weights + i * kSplitTileBytes);
        }
        const auto multiply = block.rows > kTileRows ? multiply_split<Tiles, kSumTiles, kVectors>
                                                     : multiply_split<Tiles, 1, kVectors>;
        multiply(tiles, task.a + block.row * task.a_rows.stride + block.first * kRowParts, task.a_rows.stride,
                 weights, block.count, sums, resume, meanwhile);
      });
}

template <class Tiles>
void multiply_panel_in_parts(const PanelTask& task) {
  if (task.vectors == 1) return multiply_split_panel<Tiles, 1>(task);
  if (task.vectors == 2) return multiply_split_panel<Tiles, 2>(task);
  multiply_split_panel<Tiles, kSplitVectors>(task);
}

/** Results as exact as those of fused multiply-adds in fp32, with other roundings. */
template <class Tiles>
constexpr GemmKernel f32_tile_kernel() {
  return {
      .name = "f32 tiles",
      .operand = OperandFormat::kBF16Parts,
      .panel = PanelFormat::kF32,
      .lanes = simd::Vec::kLanes,
      .vectors = kSplitVectors,
      .glu_vectors = 2,
      .group = 1,
      .tile_rows = kSumTiles * kTileRows,
      .panel_in_l1 = true,
      .scratch_bytes = kSplitTiles * kParts * kSplitVectors * kWeightTileBytes,
      .multiply = multiply_panel_in_parts<Tiles>,
      .convert_rows = convert_rows_to_parts,
  };
}

}  // namespace
}  // namespace padless
