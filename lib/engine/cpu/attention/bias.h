// What AttentionBias adds to the scores of a block of queries, for one query head.
//
// Every kind is a function of distance = query - key, and scores lie as S[key][query lane]: along a key's row
// the distance rises by one a lane, along a column it falls by one a key.
//
// ALiBi and relative tables depend on the distance alone: a line of values by distance, of which a key's row
// reads one stretch. Disentangled attention needs products with the position rows in reach of the block, by
// the microkernels of tile.h:
//   q . position_keys     C[row][lane], as if position rows were keys. The lane l of a key's row wants
//                         distance d + l, a diagonal of C, gathered by log2(lanes) blends.
//   k . position_queries  D[key][distance], for few keys at a time: the distances that a key's row wants are
//                         neighbours, so position rows are transposed once a call, in order of distance.
#pragma once

#include "lib/engine/cpu/attention/distance_bias.h"
#include "lib/engine/cpu/attention/fetch.h"
#include "lib/engine/cpu/attention/kernel.h"
#include "lib/engine/cpu/attention/lanes.h"
#include "lib/engine/cpu/attention/product.h"
#include "lib/engine/cpu/attention/tile.h"
#include "lib/engine/cpu/attention/transpose.h"

namespace padless::PADLESS_ISA {
namespace {

bool is_biased(const AttentionHeadBias& bias) {
  return bias.alibi_slopes || bias.relative || bias.relative_rows;
}

class Bias {
 public:
  /** Floats that any call for a head of `length` tokens needs. */
  static int64_t scratch_floats(const AttentionHeadBias& bias, int64_t head_dim, int64_t length) {
    if (!is_biased(bias)) return 0;
    return kLineFloats + kBandFloats + row_floats(bias, length) +
           (bias.position_queries ? head_dim * most_columns(bias, length) : 0);
  }

  /** For query head `member` of the group, keys [key_begin, key_end) and the queries that `head` asks for. */
  Bias(const AttentionHead& head, int64_t member, int64_t key_begin, int64_t key_end, float* memory)
      : bias_(head.bias), member_(member), dim_(head.head_dim), factor_(head.scale * kLog2E) {
    if (!is_biased(bias_)) return;
    line_ = memory;
    band_ = line_ + kLineFloats;
    by_row_ = band_ + kBandFloats;
    by_distance_ = by_row_ + row_floats(bias_, head.length);
    if (bias_.position_keys) position_keys_ = bias_.position_keys + member * dim_;
    if (bias_.position_queries) {
      const int64_t lowest = head.first_query - (key_end - 1);
      const int64_t highest = head.last_query - 1 - key_begin;
      transpose_position_queries(bias_.position_queries + member * dim_, lowest, highest);
    }
  }

  /** Disentangled attention wants q and k in fp32. Adds to scores [key_end - key_begin, kVectors registers]
   * of queries from first_query on; `q` is the block's queries as the scores were computed with, `k` the row
   * of key_begin. */
  template <int kVectors>
  void add(int64_t first_query, int64_t key_begin, int64_t key_end, const float* q, const float* k,
           int64_t k_stride, float* scores, Fetcher& fetch) const {
    if (bias_.alibi_slopes || bias_.relative) add_line<kVectors>(first_query, key_begin, key_end, scores);
    if (position_keys_) add_position_keys<kVectors>(first_query, key_begin, key_end, q, scores, fetch);
    if (bias_.position_queries) {
      add_position_queries<kVectors>(first_query, key_begin, key_end, k, k_stride, scores, fetch);
    }
  }

 private:
  static constexpr int64_t kLineFloats = padded(kKeyBlock + kMostVectors * kLanes);
  static constexpr int64_t kBandFloats = padded((kMostVectors + 1) * kLanes * kLanes);
  /** Distances that a row of D holds for the widest block. */
  static constexpr int64_t kMostBand = (kMostVectors + 1) * kLanes;

  /** Of C: the rows that a sequence reaches. */
  static int64_t row_floats(const AttentionHeadBias& bias, int64_t length) {
    if (!bias.position_keys) return 0;
    const int64_t lowest = most(1 - length, -bias.reach);
    const int64_t highest = least(length - 1 + kLanes, bias.reach);
    const int64_t rows =
        bias.relative_rows[highest + bias.reach] - bias.relative_rows[lowest + bias.reach] + 1;
    return rows * kMostVectors * kLanes;
  }

  /** Columns of the transposed position queries: an odd number of cache lines, so that rows do not all fall
   * into the same set of the first-level cache. */
  static int64_t columns_of(int64_t distances) { return padded(distances + 2 * kLanes) | 16; }
  static int64_t most_columns(const AttentionHeadBias& bias, int64_t length) {
    return columns_of(least(2 * (bias.reach + kMostBand) + 1, 2 * length));
  }

  int64_t clamped(int64_t distance) const { return least(most(distance, -bias_.reach), bias_.reach); }
  int64_t row_of(int64_t distance) const { return bias_.relative_rows[clamped(distance) + bias_.reach]; }

  template <int kVectors>
  void add_line(int64_t first_query, int64_t key_begin, int64_t key_end, float* scores) const {
    constexpr int64_t kWidth = kVectors * kLanes;
    const int64_t lowest = first_query - (key_end - 1);
    const int64_t count = key_end - key_begin - 1 + kWidth;
    for (int64_t i = 0; i < count; ++i) line_[i] = distance_bias(bias_, member_, lowest + i);
    for (int64_t key = key_begin; key < key_end; ++key, scores += kWidth) {
      const float* const values = line_ + (key_end - 1 - key);
      for (int n = 0; n < kVectors; ++n) {
        store(scores + n * kLanes, load(scores + n * kLanes) + load(values + n * kLanes));
      }
    }
  }

  template <int kVectors>
  void add_position_keys(int64_t first_query, int64_t key_begin, int64_t key_end, const float* q,
                         float* scores, Fetcher& fetch) const {
    constexpr int64_t kWidth = kVectors * kLanes;
    const int64_t lowest = first_query - (key_end - 1);
    const int64_t first_row = row_of(lowest);
    const int64_t rows = row_of(first_query + kWidth - 1 - key_begin) + 1 - first_row;
    compute_scores<F32Product, kVectors>(position_keys_ + first_row * bias_.position_keys_stride,
                                         bias_.position_keys_stride, rows, q, BlockStride<kVectors>{}, dim_,
                                         by_row_, fetch);
    for (int64_t key = key_begin; key < key_end; key += kLanes, scores += kLanes * kWidth) {
      const int count = static_cast<int>(least(kLanes, key_end - key));
      for (int n = 0; n < kVectors; ++n) {
        // Diagonal i of the tile: distances from `first` + i on, which key + kLanes - 1 - i wants.
        const int64_t first = first_query + n * kLanes - (key + kLanes - 1);
        Vec diagonals[2 * kLanes];
#pragma GCC unroll 32
        for (int i = 0; i < 2 * kLanes - 1; ++i) {
          const int64_t row = row_of(most(first + i, lowest)) - first_row;
          diagonals[i] = load(by_row_ + row * kWidth + n * kLanes);
        }
        slant(diagonals);
        for (int i = 0; i < count; ++i) {
          float* const to = scores + i * kWidth + n * kLanes;
          store(to, load(to) + diagonals[kLanes - 1 - i]);
        }
      }
    }
  }

  /** Lane l of rows[i], for i < kLanes, becomes lane l of rows[i + l]. */
  static void slant(Vec (&rows)[2 * kLanes]) {
    const Vec lane = load(kLaneNumbers);
    Vec rest = lane;  // what is left of the lane's number below the bits done
    int count = 2 * kLanes - 1;
#pragma GCC unroll 4
    for (int shift = kLanes / 2; shift > 0; shift /= 2) {
      const Vec limit = broadcast(static_cast<float>(shift));
      count -= shift;
#pragma GCC unroll 32
      for (int i = 0; i < count; ++i) rows[i] = where_less(rest, limit, rows[i], rows[i + shift]);
      rest = where_less(rest, limit, rest, rest - limit);
    }
  }

  template <int kVectors>
  void add_position_queries(int64_t first_query, int64_t key_begin, int64_t key_end, const float* k,
                            int64_t k_stride, float* scores, Fetcher& fetch) const {
    constexpr int64_t kWidth = kVectors * kLanes;
    constexpr int64_t kBand = kWidth + kLanes;
    for (int64_t key = key_begin; key < key_end; key += kLanes) {
      const int64_t count = least(kLanes, key_end - key);
      // Where all of a band is out of reach, any other that is so, on the same side, holds the same values.
      const int64_t lowest =
          least(most(first_query - (key + count - 1), -bias_.reach - kMostBand), bias_.reach + 1);
      compute_scores<F32Product, kVectors + 1>(k + (key - key_begin) * k_stride, k_stride, count,
                                               by_distance_ + (lowest - lowest_), columns_, dim_, band_,
                                               fetch);
      for (int64_t i = 0; i < count; ++i, scores += kWidth) {
        const float* const values = band_ + i * kBand + (count - 1 - i);
        for (int n = 0; n < kVectors; ++n) {
          store(scores + n * kLanes, load(scores + n * kLanes) + load(values + n * kLanes));
        }
      }
    }
  }

  /** by_distance_[column][distance - lowest_] = factor * from[row of distance][column]. */
  void transpose_position_queries(const float* from, int64_t lowest, int64_t highest) {
    lowest_ = most(lowest, -bias_.reach - kMostBand);
    highest = least(highest, bias_.reach + kMostBand);
    columns_ = columns_of(most(0, highest - lowest_ + 1));
    for (int64_t first = 0; first < columns_; first += kLanes) {
      const float* rows[kLanes];
      for (int i = 0; i < kLanes; ++i)
        rows[i] = from + row_of(lowest_ + first + i) * bias_.position_queries_stride;
      for (int64_t column = 0; column < dim_; column += kLanes) {
        const int count = static_cast<int>(least(kLanes, dim_ - column));
        Vec tile[kLanes];
        for (int i = 0; i < kLanes; ++i) {
          tile[i] = count == kLanes ? load(rows[i] + column) : load(rows[i] + column, count);
        }
        transpose(tile);
        for (int i = 0; i < count; ++i) {
          store(by_distance_ + (column + i) * columns_ + first, tile[i] * broadcast(factor_));
        }
      }
    }
  }

  const AttentionHeadBias& bias_;
  const int64_t member_;
  const int64_t dim_;
  const float factor_;
  const float* position_keys_ = nullptr;
  float* line_ = nullptr;         // [distances of a block]
  float* band_ = nullptr;         // D, [kLanes, registers of a block + 1]
  float* by_row_ = nullptr;       // C, [rows in reach of a block, registers of a block]
  float* by_distance_ = nullptr;  // [head_dim, columns_], from lowest_ on
  int64_t lowest_ = 0;
  int64_t columns_ = 0;
};

}  // namespace
}  // namespace padless::PADLESS_ISA
