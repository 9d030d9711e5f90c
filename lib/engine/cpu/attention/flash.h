// Flash attention of one head of one sequence, on vectors of queries and of columns.
//
// Scores are kept transposed, S[key][query], with queries in the lanes: softmax then runs down the lanes
// without a horizontal reduction. A key, or a query's probability, is a broadcast; what it meets is a vector
// of queries in the first product and of columns of V in the second. So K and V are read as they lie, and
// only the number of queries (of the first product) and of columns (of the second) is rounded up to a
// register. Every score is one chain of multiply-adds over the columns and every output one chain over the
// keys of a block, in their order, whatever the tiles: the bits of a row depend on its own sequence alone.
//
// Sequences of at most kKeyBlock keys take one exact softmax pass; longer ones rescale block by block.
#pragma once

#include "lib/engine/cpu/attention/bias.h"
#include "lib/engine/cpu/attention/fetch.h"
#include "lib/engine/cpu/attention/kernel.h"
#include "lib/engine/cpu/attention/lanes.h"
#include "lib/engine/cpu/attention/product.h"
#include "lib/engine/cpu/attention/tile.h"
#include "lib/engine/cpu/attention/transpose.h"

namespace padless::PADLESS_ISA {
namespace {

/** From this many queries on, copying K and V to contiguous rows costs less than the strides. */
constexpr int64_t kPackedQueries = 48;

/** Columns in whole registers. */
int64_t in_registers(int64_t columns) { return (columns + kLanes - 1) / kLanes * kLanes; }

/** Memory of one kernel call. */
struct Scratch {
  float* q;       // [head_dim, vectors * lanes], scaled
  float* scores;  // [kKeyBlock, vectors * lanes]; first S, then P
  float* out;     // [vectors * lanes, columns]
  float* k;       // [length, columns]
  float* v;       // [length, columns]
  float* bias;    // what Bias asks for
};

int64_t scratch_floats(const AttentionHeadBias& bias, int64_t head_dim, int64_t length) {
  const int64_t width = kMostVectors * kLanes;
  const int64_t columns = in_registers(head_dim);
  return padded(head_dim * width) + padded(columns * width) + kKeyBlock * width +
         2 * padded(length * columns) + Bias::scratch_floats(bias, head_dim, length);
}

Scratch divide(float* memory, int64_t head_dim, int64_t length) {
  const int64_t width = kMostVectors * kLanes;
  const int64_t columns = in_registers(head_dim);
  Scratch scratch;
  scratch.q = memory;
  scratch.out = scratch.q + padded(head_dim * width);
  scratch.scores = scratch.out + padded(columns * width);
  scratch.k = scratch.scores + kKeyBlock * width;
  scratch.v = scratch.k + padded(length * columns);
  scratch.bias = scratch.v + padded(length * columns);
  return scratch;
}

/** Keys and values of a sequence as the products want them; row 0 is its first token. */
struct Rows {
  const float* k;
  int64_t k_stride;
  const float* v;
  int64_t v_stride;
};

/** to[column][lane] = scale * from[lane][column]; lanes beyond `rows` are 0. */
void transpose_in(const float* from, int64_t stride, int rows, int64_t cols, float scale, float* to,
                  int64_t width) {
  const Vec factor = broadcast(scale);
  for (int64_t first = 0; first < cols; first += kLanes) {
    const int count = static_cast<int>(least(kLanes, cols - first));
    Vec tile[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      tile[i] = zero();
      if (i < rows)
        tile[i] = count == kLanes ? load(from + i * stride + first) : load(from + i * stride + first, count);
    }
    transpose(tile);
    for (int i = 0; i < count; ++i) store(to + (first + i) * width, tile[i] * factor);
  }
}

/** 2^x for x <= 0, relative error 2e-7; 2^-126 for everything below. NaN stays NaN. */
Vec exp2_negative(Vec x) {
  const Vec bounded = max(broadcast(-126.f), x);
  const Vec n = simd::round(bounded);
  const Vec r = bounded - n;
  Vec p = broadcast(1.32647273e-3f);
  p = fma(p, r, broadcast(9.67151299e-3f));
  p = fma(p, r, broadcast(5.55073358e-2f));
  p = fma(p, r, broadcast(0.240222424f));
  p = fma(p, r, broadcast(0.693147004f));
  p = fma(p, r, broadcast(1.f));
  return simd::scale_by_power_of_two(p, n);
}

/** The first key of the unit that holds `key`. */
template <class Product>
int64_t first_key(int64_t key) {
  return Product::kPairs ? key / 2 * 2 : key;
}

/** One block of queries: kVectors registers of them, the last perhaps not full. */
template <class Product, int kVectors>
class QueryBlock {
 public:
  static constexpr int64_t kWidth = kVectors * kLanes;

  QueryBlock(const AttentionHead& head, const Bias& bias, Fetcher& fetch, int64_t first_query,
             int64_t last_query, const Scratch& scratch)
      : head_(head), bias_(bias), fetch_(fetch), scratch_(scratch), first_(first_query), last_(last_query) {}

  /** For query head `member` of the group. */
  void run(int64_t member, const Rows& rows) {
    const int64_t dim = head_.head_dim;
    for (int n = 0; n < kVectors; ++n) {
      row_max_[n] = broadcast(-__builtin_inff());
      row_sum_[n] = zero();
      const float* q =
          static_cast<const float*>(head_.q) + (first_ + n * kLanes) * head_.q_stride + member * dim;
      transpose_in(q, head_.q_stride, rows_of(n), dim, head_.scale * kLog2E, scratch_.q + n * kLanes, kWidth);
    }
    Product::pair_rows(scratch_.q, dim, kWidth);
    // Keys that some query sees, from a whole unit on; those that every query sees need no mask.
    const int64_t begin = first_key<Product>(most(0, first_ - head_.window_left));
    const int64_t end = least(head_.length, last_ + head_.window_right);
    const int64_t full_begin = most(0, last_ - 1 - head_.window_left);
    const int64_t full_end = least(head_.length, first_ + 1 + head_.window_right);
    bool started = false;
    for (int64_t block = begin / kKeyBlock * kKeyBlock; block < end; block += kKeyBlock) {
      const int64_t from = most(block, begin);
      const int64_t to = least(block + kKeyBlock, end);
      const float* const keys = rows.k + from * rows.k_stride;
      compute_scores<Product, kVectors>(keys, rows.k_stride, to - from, scratch_.q, BlockStride<kVectors>{},
                                        Product::units(dim), scratch_.scores, fetch_);
      if (is_biased(head_.bias)) {
        bias_.add<kVectors>(first_, from, to, scratch_.q, keys, rows.k_stride, scratch_.scores, fetch_);
      }
      const int64_t full_from = least(most(from, full_begin), to);
      const int64_t full_to = least(most(full_from, full_end), to);
      softmax(from, full_from, full_to, to, started);
      Product::pair_rows(scratch_.scores, to - from, kWidth);
      accumulate_values<Product>(scratch_.scores, BlockStride<kVectors>{}, last_ - first_,
                                 rows.v + Product::units(from) * rows.v_stride, rows.v_stride,
                                 Product::units(to - from), in_registers(dim) / kLanes,
                                 started ? correction_ : nullptr, scratch_.out, fetch_);
      started = true;
    }
    write(member);
  }

 private:
  int rows_of(int vector) const {
    return static_cast<int>(most(0, least(kLanes, last_ - first_ - vector * kLanes)));
  }

  /** x where query lane q of vector n sees `key`, else y. */
  Vec where_seen(int64_t key, int n, Vec x, Vec y) const {
    // Distances fit a float exactly once they are cut to the block's own range.
    const auto low = static_cast<float>(most(-1, least(kWidth, key - head_.window_right - first_)));
    const auto high = static_cast<float>(most(-1, least(kWidth, key + head_.window_left - first_)));
    const Vec lane = load(kLaneNumbers + n * kLanes);
    return where_less(lane, broadcast(low), y, where_less(broadcast(high), lane, y, x));
  }

  template <bool kMasked>
  void update_max(int64_t from, int64_t to, const float* scores, Vec (&top)[kVectors]) const {
    for (int64_t key = from; key < to; ++key, scores += kWidth) {
      for (int n = 0; n < kVectors; ++n) {
        Vec score = load(scores + n * kLanes);
        if (kMasked) score = where_seen(key, n, score, broadcast(-__builtin_inff()));
        top[n] = max(score, top[n]);
      }
    }
  }

  template <bool kMasked>
  void exponentiate(int64_t from, int64_t to, float* scores, const Vec (&top)[kVectors],
                    Vec (&sum)[kVectors]) const {
    for (int64_t key = from; key < to; ++key, scores += kWidth) {
      for (int n = 0; n < kVectors; ++n) {
        Vec p = exp2_negative(load(scores + n * kLanes) - top[n]);
        if (kMasked) p = where_seen(key, n, p, zero());
        sum[n] = sum[n] + p;
        store(scores + n * kLanes, p);
      }
    }
  }

  /** scores = 2^(scores - max) for keys [from, to), of which [full_from, full_to) are seen by all queries. */
  void softmax(int64_t from, int64_t full_from, int64_t full_to, int64_t to, bool started) {
    float* const scores = scratch_.scores;
    float* const full = scores + (full_from - from) * kWidth;
    float* const rest = scores + (full_to - from) * kWidth;
    Vec top[kVectors];
    Vec sum[kVectors];
    for (int n = 0; n < kVectors; ++n) top[n] = row_max_[n];
    update_max<true>(from, full_from, scores, top);
    update_max<false>(full_from, full_to, full, top);
    update_max<true>(full_to, to, rest, top);
    for (int n = 0; n < kVectors; ++n) {
      const Vec old = row_max_[n];
      row_max_[n] = top[n];
      // Nothing seen yet: any finite maximum gives the zeros that a masked row must have.
      top[n] = where_less(top[n], broadcast(-kLargestFloat), zero(), top[n]);
      const Vec correction = started ? exp2_negative(old - top[n]) : zero();
      store(correction_ + n * kLanes, correction);
      sum[n] = row_sum_[n] * correction;
    }
    exponentiate<true>(from, full_from, scores, top, sum);
    exponentiate<false>(full_from, full_to, full, top, sum);
    exponentiate<true>(full_to, to, rest, top, sum);
    for (int n = 0; n < kVectors; ++n) row_sum_[n] = sum[n];
  }

  void write(int64_t member) const {
    const int64_t dim = head_.head_dim;
    float factor[kWidth];
    for (int n = 0; n < kVectors; ++n) {
      const Vec sum = row_sum_[n];
      store(factor + n * kLanes, where_less(zero(), sum, broadcast(1.f) / sum, sum));
    }
    const float* from = scratch_.out;
    float* out = static_cast<float*>(head_.out) + first_ * head_.out_stride + member * dim;
    for (int64_t row = 0; row < last_ - first_; ++row, from += in_registers(dim), out += head_.out_stride) {
      const Vec scale = broadcast(factor[row]);
      int64_t i = 0;
      for (; i + kLanes <= dim; i += kLanes) store(out + i, load(from + i) * scale);
      if (i < dim) store(out + i, load(from + i) * scale, static_cast<int>(dim - i));
    }
    if (head_.lse != nullptr) write_lse(head_.lse + member * head_.lse_stride + first_);
  }

  void write_lse(float* lse) const {
    for (int n = 0; n < kVectors; ++n, lse += kLanes) {
      float top[kLanes];
      float sum[kLanes];
      store(top, row_max_[n]);
      store(sum, row_sum_[n]);
      for (int i = 0; i < rows_of(n); ++i) lse[i] = top[i] * kLn2 + __builtin_logf(sum[i]);
    }
  }

  const AttentionHead& head_;
  const Bias& bias_;
  Fetcher& fetch_;
  const Scratch& scratch_;
  const int64_t first_;
  const int64_t last_;
  Vec row_max_[kVectors];  // log2 units
  Vec row_sum_[kVectors];
  float correction_[kWidth];  // what earlier sums and outputs are multiplied by at the new maximum
};

/** Queries [first, last) of query head `member`. */
template <class Product>
void run_block(int vectors, const AttentionHead& head, int64_t member, const Bias& bias, Fetcher& fetch,
               int64_t first, int64_t last, const Scratch& scratch, const Rows& rows) {
  switch (vectors) {
    case 1:
      return QueryBlock<Product, 1>(head, bias, fetch, first, last, scratch).run(member, rows);
    case 2:
      return QueryBlock<Product, 2>(head, bias, fetch, first, last, scratch).run(member, rows);
    default:
      return QueryBlock<Product, 3>(head, bias, fetch, first, last, scratch).run(member, rows);
  }
}

/** The rows of keys [begin, end), packed where the product or the number of queries asks for it. */
template <class Product>
Rows pack_rows(const AttentionHead& head, int64_t begin, int64_t end, const Scratch& scratch) {
  const int64_t dim = head.head_dim;
  const int64_t columns = in_registers(dim);
  const bool many = (head.last_query - head.first_query) * head.group >= kPackedQueries;
  const auto* const keys = static_cast<const float*>(head.k);
  const auto* const values = static_cast<const float*>(head.v);
  Rows rows = {keys, head.k_stride, values, head.v_stride};
  if (Product::kPairs || many) {
    Product::pack_keys(keys + begin * head.k_stride, head.k_stride, end - begin, dim,
                       scratch.k + begin * columns, columns);
    rows.k = scratch.k;
    rows.k_stride = columns;
  }
  if (Product::kPairs || many || dim != columns) {
    Product::pack_values(values + begin * head.v_stride, head.v_stride, end - begin, dim,
                         scratch.v + Product::units(begin) * columns, columns);
    rows.v = scratch.v;
    rows.v_stride = columns;
  }
  return rows;
}

template <class Product>
void run(const AttentionHead& head, float* memory) {
  const Scratch scratch = divide(memory, head.head_dim, head.length);
  Fetcher fetch(head.fetch);
  // Keys that some query of the call sees, in whole units.
  const int64_t begin = first_key<Product>(most(0, head.first_query - head.window_left));
  const int64_t end = least(head.length, head.last_query + head.window_right + (Product::kPairs ? 1 : 0));
  const Rows rows = pack_rows<Product>(head, begin, end, scratch);
  fetch.step();
  for (int64_t member = 0; member < head.group; ++member) {
    const Bias bias(head, member, begin, end, scratch.bias);
    for (int64_t first = head.first_query; first < head.last_query;) {
      const int64_t left = (head.last_query - first + kLanes - 1) / kLanes;
      // Four registers of queries make two even blocks rather than a full one and a single.
      const int64_t vectors = left == 4 ? 2 : least(left, kMostVectors);
      const int64_t last = least(first + vectors * kLanes, head.last_query);
      run_block<Product>(static_cast<int>(vectors), head, member, bias, fetch, first, last, scratch, rows);
      first = last;
    }
  }
  fetch.finish();
}

}  // namespace
}  // namespace padless::PADLESS_ISA
