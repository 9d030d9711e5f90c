// The two products of attention on register tiles: kRows broadcasts times kVectors registers of queries.
#pragma once

#include <cstdint>

#include "lib/engine/cpu/attention/lanes.h"

namespace padless::PADLESS_ISA {
namespace {

/** Accumulators of a tile; with one row of operands they fill the register file. */
#if defined(PADLESS_ISA_AVX512)
constexpr int kAccumulators = 24;
#else
constexpr int kAccumulators = 12;
#endif
/** Rows of a tile; more than 16 (only for one vector) gain nothing once the latency is hidden. */
template <int kVectors>
constexpr int kMostRows = kAccumulators / kVectors < 16 ? kAccumulators / kVectors : 16;

/** scores[row][lane] = sum over i of k[row][i] * q[i][lane]. */
template <int kVectors, int kRows>
void score_tile(const float* k, int64_t k_stride, const float* q, int64_t q_stride, int64_t dim,
                float* scores) {
  Vec sum[kRows][kVectors];
  for (int row = 0; row < kRows; ++row) {
    for (int n = 0; n < kVectors; ++n) sum[row][n] = simd::zero();
  }
  for (int64_t i = 0; i < dim; ++i, q += q_stride) {
    Vec query[kVectors];
    for (int n = 0; n < kVectors; ++n) query[n] = simd::load(q + n * kLanes);
    for (int row = 0; row < kRows; ++row) {
      const Vec key = simd::broadcast(k[row * k_stride + i]);
      for (int n = 0; n < kVectors; ++n) sum[row][n] = simd::fma(key, query[n], sum[row][n]);
    }
  }
  for (int row = 0; row < kRows; ++row) {
    for (int n = 0; n < kVectors; ++n) simd::store(scores + (row * kVectors + n) * kLanes, sum[row][n]);
  }
}

/** out[row][lane] = out[row][lane] * factor[lane] (0 without factor) + sum over keys of v[key][row] *
 * p[key][lane]. */
template <int kVectors, int kRows>
void value_tile(const float* v, int64_t v_stride, const float* p, int64_t keys, const Vec* factor,
                float* out) {
  Vec sum[kRows][kVectors];
  for (int row = 0; row < kRows; ++row) {
    for (int n = 0; n < kVectors; ++n) {
      sum[row][n] =
          factor == nullptr ? simd::zero() : simd::load(out + (row * kVectors + n) * kLanes) * factor[n];
    }
  }
  for (int64_t key = 0; key < keys; ++key, v += v_stride, p += kVectors * kLanes) {
    Vec probability[kVectors];
    for (int n = 0; n < kVectors; ++n) probability[n] = simd::load(p + n * kLanes);
    for (int row = 0; row < kRows; ++row) {
      const Vec value = simd::broadcast(v[row]);
      for (int n = 0; n < kVectors; ++n) sum[row][n] = simd::fma(value, probability[n], sum[row][n]);
    }
  }
  for (int row = 0; row < kRows; ++row) {
    for (int n = 0; n < kVectors; ++n) simd::store(out + (row * kVectors + n) * kLanes, sum[row][n]);
  }
}

/** Calls tile<rows>(first_row) so that the tiles cover [0, count) and their heights differ by one at most. */
template <int kRows, class Tile>
void for_height(int rows, int64_t first, const Tile& tile) {
  if (rows == kRows) return tile.template operator()<kRows>(first);
  if constexpr (kRows > 1) for_height<kRows - 1>(rows, first, tile);
}

template <int kMost, class Tile>
void for_even_tiles(int64_t count, const Tile& tile) {
  const int64_t tiles = (count + kMost - 1) / kMost;
  for (int64_t i = 0, first = 0; i < tiles; ++i) {
    const int64_t next = count * (i + 1) / tiles;
    for_height<kMost>(static_cast<int>(next - first), first, tile);
    first = next;
  }
}

/** scores [keys, kVectors registers] = k [keys, dim] q [dim, kVectors registers]. */
template <int kVectors>
void compute_scores(const float* k, int64_t k_stride, int64_t keys, const float* q, int64_t q_stride,
                    int64_t dim, float* scores) {
  for_even_tiles<kMostRows<kVectors>>(keys, [&]<int kRows>(int64_t first) {
    score_tile<kVectors, kRows>(k + first * k_stride, k_stride, q, q_stride, dim,
                                scores + first * kVectors * kLanes);
  });
}

/** out [dim, kVectors registers] = factor * out + v^T p, over `keys` rows of v and p; no factor: out = v^T p.
 */
template <int kVectors>
void accumulate_values(const float* v, int64_t v_stride, int64_t keys, const float* p, int64_t dim,
                       float* out, const Vec* factor) {
  for_even_tiles<kMostRows<kVectors>>(dim, [&]<int kRows>(int64_t first) {
    value_tile<kVectors, kRows>(v + first, v_stride, p, keys, factor, out + first * kVectors * kLanes);
  });
}

}  // namespace
}  // namespace padless::PADLESS_ISA
