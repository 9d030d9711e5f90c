// Tiles of queries, keys and values in shared memory: filled by TMA, multiplied by wgmma.
//
// A tile is cut into panels as wide as the swizzle's span, one after the other: 64 columns under the 128-byte
// swizzle, or 32 under the 64-byte swizzle where the head dim is no multiple of 64. Nothing is padded.
//
// Rows past a sequence belong to the next one. TMA writes zeros in their place (see maps.h), so that neither
// a neighbour's NaN nor an earlier tile's reaches a product: a probability of 0 times NaN is NaN.
#pragma once

#include "cuda/attention/sm90/maps.h"
#include "cuda/ptx/tma.cuh"
#include "cuda/ptx/wgmma.cuh"

namespace padless::cuda::sm90 {

template <class T, int kRows_, int kCols_>
struct alignas(1024) PanelTile {
  static_assert(sizeof(T) == 2 && kRows_ % kBoxRows == 0 && kCols_ % 32 == 0);
  static constexpr int kRows = kRows_, kCols = kCols_, kPanelCols = panel_columns(kCols),
                       kPanels = kCols / kPanelCols;
  static constexpr unsigned kSpanBytes = kPanelCols * sizeof(T), kPanelBytes = kRows * kSpanBytes,
                            kBytes = kPanels * kPanelBytes;
  static constexpr ptx::Swizzle kSwizzle = panel_swizzle(kCols);

  T elements[kPanels][kRows][kPanelCols];

  // Descriptors of the operands that begin at a row: contiguous along the head, and along the rows.
  DEVICE uint64_t k_major(int row) const {
    constexpr uint32_t kUnused = 16;
    return ptx::wgmma_descriptor(ptx::cvta_to_shared(&elements[0][row][0]), kUnused, 8 * kSpanBytes,
                                 kSwizzle);
  }
  DEVICE uint64_t mn_major() const {
    return ptx::wgmma_descriptor(ptx::cvta_to_shared(&elements[0][0][0]), kPanelBytes, 8 * kSpanBytes,
                                 kSwizzle);
  }
  // From the first column of a K-major operand to `column`.
  static DEVICE unsigned column_bytes(int column) {
    return static_cast<unsigned>(column / kPanelCols) * kPanelBytes +
           static_cast<unsigned>(column % kPanelCols) * sizeof(T);
  }
};

DEVICE void prefetch(const AttentionMaps& maps) {
  ptx::prefetch_tensormap(&maps.q);
  ptx::prefetch_tensormap(&maps.k);
  ptx::prefetch_tensormap(&maps.v);
}

// The descriptor `bytes` further on; the address field counts 16 bytes.
DEVICE uint64_t advanced(uint64_t descriptor, unsigned bytes) { return descriptor + (bytes >> 4); }

// One thread starts the copy of a tile: rows from `first` on of a sequence of `length` tokens from `begin`,
// columns from `column` on. `barrier` is told the bytes and completes when they have landed.
template <class Tile>
DEVICE void load_tile(Tile& tile, const ptx::TensorMap* map, uint64_t& barrier, int column, int64_t begin,
                      int first, int length) {
  UNROLL
  for (int box = 0; box < Tile::kRows; box += kBoxRows) {
    const int row = first + box, absent = kBoxRows - min(max(length - row, 0), kBoxRows);
    const int origin = static_cast<int>(begin) + row - absent + kBoxRows;
    UNROLL
    for (int panel = 0; panel < Tile::kPanels; panel++) {
      ptx::cp_async_bulk_tensor_load_3d(ptx::cvta_to_shared(&tile.elements[panel][box][0]), map,
                                        ptx::cvta_to_shared(&barrier), column + panel * Tile::kPanelCols,
                                        absent, origin);
    }
  }
}

// Starts score = q[row .. + 64] k[0 .. kKeys]^T.
template <class T, int kKeys, class QueryTile, class KeyTile>
DEVICE void start_scores(float (&score)[kKeys / 2], const QueryTile& q, int row, const KeyTile& k) {
  static_assert(kKeys <= KeyTile::kRows);
  const uint64_t queries = q.k_major(row), keys = k.k_major(0);
  ptx::wgmma_fence_operand(score);
  ptx::wgmma_fence();
  UNROLL
  for (int column = 0; column < QueryTile::kCols; column += 16) {
    ptx::wgmma_m64k16<T, kKeys>(score, advanced(queries, QueryTile::column_bytes(column)),
                                advanced(keys, KeyTile::column_bytes(column)), column > 0);
  }
  ptx::wgmma_commit_group();
}

// Starts out = probability v, or += with `accumulate`, for as many rows of v as there are probabilities.
template <class T, int kSteps, class ValueTile>
DEVICE void start_values(float (&out)[ValueTile::kCols / 2], uint32_t (&probability)[kSteps][4],
                         const ValueTile& v, bool accumulate) {
  static_assert(16 * kSteps <= ValueTile::kRows);
  const uint64_t values = v.mn_major();
  UNROLL
  for (int step = 0; step < kSteps; step++) ptx::wgmma_fence_operand(probability[step]);
  ptx::wgmma_fence_operand(out);
  ptx::wgmma_fence();
  UNROLL
  for (int step = 0; step < kSteps; step++) {
    ptx::wgmma_m64k16<T, ValueTile::kCols, ptx::Major::mn>(
        out, probability[step], advanced(values, step * 16 * ValueTile::kSpanBytes), accumulate || step > 0);
  }
  ptx::wgmma_commit_group();
}

}  // namespace padless::cuda::sm90
