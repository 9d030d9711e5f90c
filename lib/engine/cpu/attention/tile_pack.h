// Queries, keys and values of one head as tiles of bf16, a kibibyte each.
//
//   queries  [blocks of 16 queries][tiles of 32 columns]  row: a query's columns
//   keys     [blocks of 16 keys][tiles of 32 columns]     row: two columns of each key, side by side
//   values   [steps of 32 keys][tiles of 16 columns]      row: one column of keys i and i + 16, side by side
//
// Rows and columns that fill up a tile are zeros.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "lib/engine/cpu/attention/lanes.h"
#include "lib/engine/cpu/attention/transpose.h"
#include "lib/engine/cpu/simd/tiles.h"

namespace padless::avx512 {
namespace {

constexpr int64_t kTileFloats = kTileRows * kTileBytes / 4;
constexpr int64_t kTileColumns = 32;  // of q and k
constexpr int64_t kTileQueries = kTileRows;
constexpr int64_t kStepKeys = 2 * kLanes;  // what one tile of probabilities multiplies

/** Tiles that `count` rows or columns fill, `size` a tile. */
constexpr int64_t tiles_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

inline __m512i round_pairs(Vec high, Vec low) { return (__m512i)_mm512_cvtne2ps_pbh(high.v, low.v); }

/** sum[lane] += the squares of the lane's pair. */
inline Vec add_squares(Vec sum, __m512i pairs) {
  return {_mm512_dpbf16_ps(sum.v, (__m512bh)pairs, (__m512bh)pairs)};
}

/** Columns [first, first + kLanes) of a row, 0 from `columns` on. */
inline Vec load_columns(const float* row, int64_t first, int64_t columns) {
  if (first + kLanes <= columns) return load(row + first);
  return first < columns ? load(row + first, static_cast<int>(columns - first)) : zero();
}

/** The pairs of 32 columns of a row from `first` on, times `scale`. */
inline __m512i load_pairs(const float* row, int64_t first, int64_t columns, Vec scale) {
  return round_pairs(load_columns(row, first + kLanes, columns) * scale,
                     load_columns(row, first, columns) * scale);
}

/** One block of queries; the sum of the lanes of the result bounds the squared length of each. */
inline Vec pack_query_block(const float* from, int64_t stride, int64_t rows, int64_t columns, float scale,
                            float* to) {
  const Vec factor = broadcast(scale);
  Vec longest = zero();
  for (int64_t row = 0; row < kTileQueries; ++row, from += stride) {
    Vec squares = zero();
    for (int64_t first = 0; first < columns; first += kTileColumns) {
      const __m512i pairs = row < rows ? load_pairs(from, first, columns, factor) : _mm512_setzero_si512();
      squares = add_squares(squares, pairs);
      _mm512_store_si512(to + first / kTileColumns * kTileFloats + row * kLanes, pairs);
    }
    longest = max(squares, longest);
  }
  return longest;
}

/** One block of keys; the squared length of each. */
inline Vec pack_key_block(const float* from, int64_t stride, int64_t rows, int64_t columns, float* to) {
  Vec squares = zero();
  for (int64_t first = 0; first < columns; first += kTileColumns, to += kTileFloats) {
    Vec tile[kLanes];
    for (int64_t row = 0; row < kLanes; ++row) {
      tile[row] = zero();
      if (row < rows) {
        tile[row].v = _mm512_castsi512_ps(load_pairs(from + row * stride, first, columns, broadcast(1.f)));
      }
    }
    transpose(tile);
    for (int64_t row = 0; row < kLanes; ++row) {
      squares = add_squares(squares, _mm512_castps_si512(tile[row].v));
      store(to + row * kLanes, tile[row]);
    }
  }
  return squares;
}

/** One step of values; the largest magnitude of each lane. */
inline Vec pack_value_step(const float* from, int64_t stride, int64_t rows, int64_t columns, float* to) {
  // Lanes of the first, then of the second source, in turn.
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  constexpr int kLargestMagnitude = 0b1011;
  Vec largest = zero();
  for (int64_t first = 0; first < columns; first += kLanes, to += kTileFloats) {
    for (int64_t row = 0; row < kLanes; ++row) {
      const float* const at = from + row * stride;
      const Vec low = row < rows ? load_columns(at, first, columns) : zero();
      const Vec high = row + kLanes < rows ? load_columns(at + kLanes * stride, first, columns) : zero();
      largest.v = _mm512_range_ps(largest.v, low.v, kLargestMagnitude);
      largest.v = _mm512_range_ps(largest.v, high.v, kLargestMagnitude);
      _mm512_store_si512(to + row * kLanes, _mm512_permutexvar_epi16(order, round_pairs(high, low)));
    }
  }
  return largest;
}

}  // namespace
}  // namespace padless::avx512
