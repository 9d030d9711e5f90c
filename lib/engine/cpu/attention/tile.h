// The two products of attention on register tiles. Each is kRows broadcasts times kVectors registers, and
// every element of a result is one chain of multiply-adds, whatever the tile.
#pragma once

#include <cstdint>

#include "lib/engine/cpu/attention/fetch.h"
#include "lib/engine/cpu/attention/lanes.h"

namespace padless::PADLESS_ISA {
namespace {

/** Accumulators of a tile; with one row of operands they fill the register file. */
#if defined(PADLESS_ISA_AVX512) || defined(PADLESS_ISA_NEON)
constexpr int kAccumulators = 24;
#else
constexpr int kAccumulators = 12;
#endif
/** Rows of a tile; more than 16 (only for one vector) gain nothing once the latency is hidden. */
template <int kVectors>
constexpr int kMostRows = kAccumulators / kVectors < 16 ? kAccumulators / kVectors : 16;

/** scores[row][lane] = sum over i < dim of k[row][i] * q[i][lane]. Stride is int64_t, or a type whose value
 * the compiler knows. */
template <class Product, int kVectors, int kRows, class Stride>
void score_tile(const float* k, int64_t k_stride, const float* q, Stride q_stride, int64_t dim,
                float* scores) {
  Vec sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) sum[row][n] = zero();
  }
  for (int64_t i = 0; i < dim; ++i, q += q_stride) {
    Vec query[kVectors];
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) query[n] = load(q + n * kLanes);
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row) {
      const Vec key = broadcast(k[row * k_stride + i]);
#pragma GCC unroll 4
      for (int n = 0; n < kVectors; ++n) sum[row][n] = Product::multiply_add(key, query[n], sum[row][n]);
    }
  }
#pragma GCC unroll 16
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) store(scores + (row * kVectors + n) * kLanes, sum[row][n]);
  }
}

/** out[row][lane] = out[row][lane] * factor[row] (0 without factor) + sum over keys of p[key][row] *
 * v[key][lane]. */
template <class Product, int kVectors, int kRows, class Stride>
void value_tile(const float* p, Stride p_stride, const float* v, int64_t v_stride, int64_t keys,
                const float* factor, float* out, int64_t out_stride) {
  Vec sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) {
      sum[row][n] =
          factor == nullptr ? zero() : load(out + row * out_stride + n * kLanes) * broadcast(factor[row]);
    }
  }
  for (int64_t key = 0; key < keys; ++key, p += p_stride, v += v_stride) {
    Vec value[kVectors];
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) value[n] = load(v + n * kLanes);
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row) {
      const Vec probability = broadcast(p[row]);
#pragma GCC unroll 4
      for (int n = 0; n < kVectors; ++n) {
        sum[row][n] = Product::multiply_add(probability, value[n], sum[row][n]);
      }
    }
  }
#pragma GCC unroll 16
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) store(out + row * out_stride + n * kLanes, sum[row][n]);
  }
}

/** Calls tile<size>(first) for size == count, which is at most kMost. */
template <int kMost, class Tile>
void for_size(int count, int64_t first, const Tile& tile) {
  if (count == kMost) return tile.template operator()<kMost>(first);
  if constexpr (kMost > 1) for_size<kMost - 1>(count, first, tile);
}

/** Calls tile<size>(first) so that the tiles cover [0, count) and their sizes differ by one at most. */
template <int kMost, class Tile>
void for_even_tiles(int64_t count, const Tile& tile) {
  const int64_t tiles = (count + kMost - 1) / kMost;
  for (int64_t i = 0, first = 0; i < tiles; ++i) {
    const int64_t next = count * (i + 1) / tiles;
    for_size<kMost>(static_cast<int>(next - first), first, tile);
    first = next;
  }
}

/** A distance between rows of a block of queries. */
template <int kVectors>
struct BlockStride {
  constexpr operator int64_t() const { return kVectors * kLanes; }
};

/** scores [keys, kVectors registers] = k [keys, dim] q [dim, kVectors registers]. */
template <class Product, int kVectors, class Stride>
void compute_scores(const float* k, int64_t k_stride, int64_t keys, const float* q, Stride q_stride,
                    int64_t dim, float* scores, Fetcher& fetch) {
  for_even_tiles<kMostRows<kVectors>>(keys, [&]<int kRows>(int64_t first) {
    score_tile<Product, kVectors, kRows>(k + first * k_stride, k_stride, q, q_stride, dim,
                                         scores + first * kVectors * kLanes);
    fetch.step();
  });
}

/** out [queries, vectors registers] = factor * out + p^T v, over `keys` rows of p and v; no factor: p^T v. */
template <class Product, class Stride>
void accumulate_values(const float* p, Stride p_stride, int64_t queries, const float* v, int64_t v_stride,
                       int64_t keys, int64_t vectors, const float* factor, float* out, Fetcher& fetch) {
  for_even_tiles<kMostVectors>(vectors, [&]<int kVectors>(int64_t vector) {
    for_even_tiles<kMostRows<kVectors>>(queries, [&]<int kRows>(int64_t row) {
      value_tile<Product, kVectors, kRows>(p + row, p_stride, v + vector * kLanes, v_stride, keys,
                                           factor == nullptr ? nullptr : factor + row,
                                           out + (row * vectors + vector) * kLanes, vectors * kLanes);
      fetch.step();
    });
  });
}

}  // namespace
}  // namespace padless::PADLESS_ISA
