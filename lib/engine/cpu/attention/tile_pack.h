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

/** Lanes [0, count) of a register, where `count` may be less than none or more than all. */
inline __mmask16 lanes_below(int64_t count) {
  return simd::first_lanes(static_cast<int>(least(kLanes, most(0, count))));
}

/** Columns [first, first + kLanes) of a row, 0 from `columns` on. */
inline Vec load_columns(const float* row, int64_t first, int64_t columns) {
  return {_mm512_maskz_loadu_ps(lanes_below(columns - first), row + first)};
}
inline __m256i load_halves(const uint16_t* row, int64_t first, int64_t columns) {
  return _mm256_maskz_loadu_epi16(lanes_below(columns - first), row + first);
}
inline Vec load_columns(const uint16_t* row, int64_t first, int64_t columns) {
  return simd::widen_bf16(load_halves(row, first, columns));
}

/** Columns of two rows, or of two parts of one, as bf16: those of `low` first. */
inline __m512i load_both(const float* low, const float* high, int64_t first, int64_t low_columns,
                         int64_t high_columns) {
  return round_pairs(load_columns(high, first, high_columns), load_columns(low, first, low_columns));
}
inline __m512i load_both(const uint16_t* low, const uint16_t* high, int64_t first, int64_t low_columns,
                         int64_t high_columns) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(load_halves(low, first, low_columns)),
                            load_halves(high, first, high_columns), 1);
}

/** The pairs of 32 columns of a row from `first` on. */
template <class Element>
__m512i load_pairs(const Element* row, int64_t first, int64_t columns) {
  return load_both(row, row + kLanes, first, columns, columns - kLanes);
}
/** One block of queries; the sum of the lanes of the result bounds the squared length of each. */
template <class Element>
Vec pack_query_block(const Element* from, int64_t stride, int64_t rows, int64_t columns, float* to) {
  Vec longest = zero();
  for (int64_t row = 0; row < kTileQueries; ++row, from += stride) {
    Vec squares = zero();
    for (int64_t first = 0; first < columns; first += kTileColumns) {
      const __m512i pairs = row < rows ? load_pairs(from, first, columns) : _mm512_setzero_si512();
      squares = add_squares(squares, pairs);
      _mm512_store_si512(to + first / kTileColumns * kTileFloats + row * kLanes, pairs);
    }
    longest = max(squares, longest);
  }
  return longest;
}

/** One block of keys; the squared length of each. */
template <class Element>
Vec pack_key_block(const Element* from, int64_t stride, int64_t rows, int64_t columns, float* to) {
  Vec squares = zero();
  for (int64_t first = 0; first < columns; first += kTileColumns, to += kTileFloats) {
    Vec tile[kLanes];
    for (int64_t row = 0; row < kLanes; ++row) {
      tile[row] = zero();
      if (row < rows) {
        tile[row].v = _mm512_castsi512_ps(load_pairs(from + row * stride, first, columns));
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
template <class Element>
Vec pack_value_step(const Element* from, int64_t stride, int64_t rows, int64_t columns, float* to) {
  // Lanes of the first, then of the second source, in turn.
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  __m512i largest = _mm512_setzero_si512();  // finite bf16 order like their bits
  for (int64_t first = 0; first < columns; first += kLanes, to += kTileFloats) {
    for (int64_t row = 0; row < kLanes; ++row) {
      const Element* const at = from + row * stride;
      const __m512i both = load_both(at, at + kLanes * stride, first, row < rows ? columns : 0,
                                     row + kLanes < rows ? columns : 0);
      largest = _mm512_max_epu16(largest, _mm512_and_si512(both, magnitude));
      _mm512_store_si512(to + row * kLanes, _mm512_permutexvar_epi16(order, both));
    }
  }
  return max(simd::widen_bf16(_mm512_castsi512_si256(largest)),
             simd::widen_bf16(_mm512_extracti64x4_epi64(largest, 1)));
}

}  // namespace
}  // namespace padless::avx512
