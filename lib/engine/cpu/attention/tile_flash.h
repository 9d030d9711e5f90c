// Flash attention of one head of one sequence on tile registers, operands of both products rounded to bf16.
//
// A step is 16 queries against 32 keys: S = q k^T on two tiles, P = 2^S in vectors, O += P V on tiles that
// stay in registers. A few steps take turns phase by phase: products beside exponentials gain nothing, since
// a tile that vectors have just written is loaded only once it has reached the cache.
//
// Scores as small as models have need no maximum: where lengths of queries and keys bound them by
// kBoundedScore, P = 2^S is as exact as after subtracting one, and S can be in fixed point (tile_exp.h).
// Other blocks of queries compute S twice, the first time for each query's maximum. The scale is that of
// scores, not of queries, which are thus rounded once.
//
// P is cut to bf16, not rounded, and its sum is taken of what was cut (by a product with ones), so the bias
// of cutting leaves no trace in the quotient. Each row of a tile has sums of its own, steps and chunks of
// keys lie where they lie in the sequence, and so the bits of a query depend on its own sequence alone.
#pragma once

#include "lib/engine/cpu/attention/distance_bias.h"
#include "lib/engine/cpu/attention/fetch.h"
#include "lib/engine/cpu/attention/kernel.h"
#include "lib/engine/cpu/attention/lanes.h"
#include "lib/engine/cpu/attention/tile.h"
#include "lib/engine/cpu/attention/tile_exp.h"
#include "lib/engine/cpu/attention/tile_pack.h"
#include "lib/engine/cpu/attention/tile_results.h"
#include "lib/engine/cpu/attention/tile_scratch.h"
#include "lib/engine/cpu/simd/tiles.h"

namespace padless::avx512 {
namespace {

/** Sums of products of probabilities with values up to this keep far from the ends of fp32. */
constexpr float kBoundedValue = 1e12f;

// Tile registers. Where O needs at most two, queries of one tile and the ones stay in two others.
constexpr int kMostColumnTiles = 4;  // of O, from tile 0 on
constexpr int kOnesTile = 2;
constexpr int kQueryTile = 3;
constexpr int kSumTile = 4;
constexpr int kScoreTile = 5;
constexpr int kATile = 6;
constexpr int kBTile = 7;

/** Queries, keys and values are rows of Element: float, or uint16_t for bf16. */
template <class Tiles, class Element>
class TileFlash {
 public:
  TileFlash(Tiles& tiles, const AttentionHead& head, const TileScratch& scratch, Fetcher& fetch)
      : tiles_(tiles),
        head_(head),
        scratch_(scratch),
        fetch_(fetch),
        results_(head),
        factor_(head.scale * kLog2E),
        fixed_exp2_(factor_) {}

  void run() {
    pack_keys_and_values();
    for (int64_t i = 0; i < kTileFloats; ++i) {
      scratch_.ones[i] = kPairOfOnes;
      scratch_.start[i] = fixed_exp2_.start();
    }
    const int64_t blocks = tiles_of(head_.last_query - head_.first_query, kTileQueries);
    for (int64_t member = 0; member < head_.group; ++member) {
      if (scratch_.line) fill_line(member);
      for (int64_t i = 0; i < blocks; ++i) start_block(i, member);
      run_chunks(blocks, member);
    }
    fetch_.finish();
  }

 private:
  static const Element* elements(const void* rows) { return static_cast<const Element*>(rows); }

  static constexpr float kPairOfOnes = __builtin_bit_cast(float, 0x3f803f80);

  TileBlock block_at(int64_t i) const {
    TileBlock block;
    block.first = head_.first_query + i * kTileQueries;
    block.rows = least(kTileQueries, head_.last_query - block.first);
    const int64_t last = block.first + block.rows - 1;
    const int64_t end = least(head_.length, last + head_.window_right + 1);
    block.begin = most(0, block.first - head_.window_left) / kStepKeys;
    block.end = most(block.begin, tiles_of(end, kStepKeys));
    block.full_begin = last - head_.window_left;
    block.full_end = least(head_.length, block.first + head_.window_right + 1);
    return block;
  }

  void pack_keys_and_values() {
    const int64_t begin = most(0, head_.first_query - head_.window_left) / kStepKeys;
    const int64_t end = least(head_.length, head_.last_query + head_.window_right);
    for (int64_t step = begin; step * kStepKeys < end; ++step) {
      const int64_t key = step * kStepKeys;
      const int64_t rows = least(kStepKeys, head_.length - key);
      Vec squares = zero();
      for (int64_t half = 0; half * kLanes < rows; ++half) {
        const int64_t first = key + half * kLanes;
        squares = max(pack_key_block(elements(head_.k) + first * head_.k_stride, head_.k_stride,
                                     rows - half * kLanes, head_.head_dim,
                                     scratch_.k + (2 * step + half) * scratch_.column_tiles * kTileFloats),
                      squares);
      }
      store(scratch_.key_square + step * kLanes, squares);
      store(scratch_.largest_value + step * kLanes,
            pack_value_step(elements(head_.v) + key * head_.v_stride, head_.v_stride, rows, head_.head_dim,
                            scratch_.v + step * scratch_.value_tiles * kTileFloats));
      fetch_.step();
    }
  }

  /** The bias of key j for query i is line[highest - i + j]. */
  int64_t highest() const { return head_.last_query - 1 + kTileQueries; }
  void fill_line(int64_t member) const {
    const int64_t count = head_.last_query - head_.first_query + head_.length + 2 * kStepKeys;
    for (int64_t x = 0; x < count; ++x) scratch_.line[x] = distance_bias(head_.bias, member, highest() - x);
  }

  /** Packs the queries of a block and decides whether its scores need a maximum. */
  void start_block(int64_t i, int64_t member) {
    const TileBlock block = block_at(i);
    results_.fetch(block, member);
    const Element* const q = elements(head_.q) + block.first * head_.q_stride + member * head_.head_dim;
    const Vec q_squares = pack_query_block(q, head_.q_stride, block.rows, head_.head_dim, query_tiles(i));
    Vec key_squares = zero();
    Vec values = zero();
    for (int64_t step = block.begin; step < block.end; ++step) {
      key_squares = max(load(scratch_.key_square + step * kLanes), key_squares);
      values = max(load(scratch_.largest_value + step * kLanes), values);
    }
    const float bound = simd::reduce_add(q_squares) * factor_ * (simd::reduce_max(key_squares) * factor_);
    const bool bounded = scratch_.line == nullptr && fixed_exp2_.fits() &&
                         bound <= kBoundedScore * kBoundedScore && simd::reduce_max(values) <= kBoundedValue;
    float* const row_max = scratch_.row_max + i * kTileQueries;
    store(row_max, zero());
    scratch_.bounded[i] = bounded ? 1.f : 0.f;
    if (!bounded) find_row_max(block, i, row_max);
    if (block.begin == block.end) results_.write_unseeing(block, member);
    fetch_.step();
  }

  void run_chunks(int64_t blocks, int64_t member) {
    const int64_t chunk = chunk_steps(head_.head_dim);
    const int64_t steps = tiles_of(head_.length, kStepKeys);
    for (int64_t from = 0; from < steps; from += chunk) {
      for (int64_t i = 0; i < blocks; ++i) {
        const TileBlock block = block_at(i);
        const int64_t begin = most(from, block.begin);
        const int64_t end = least(from + chunk, block.end);
        float* const out = scratch_.out + (steps > chunk ? i : 0) * (scratch_.value_tiles + 1) * kTileFloats;
        if (begin < end) run_steps(block, i, begin, end, begin > block.begin, out);
        if (begin < end && end == block.end)
          results_.write(block, member, out, scratch_.row_max + i * kTileQueries);
        fetch_.step();
      }
    }
  }

  float* query_tiles(int64_t i) const { return scratch_.q + i * scratch_.column_tiles * kTileFloats; }
  float* score_tiles(int64_t slot) const { return scratch_.scores + slot * 2 * kTileFloats; }

  /** S of a step, in fixed point if `bounded`. kResident: the queries are in kQueryTile. */
  template <bool kResident>
  void multiply_scores(const float* q, int64_t step, bool bounded, float* to) {
    const float* k = scratch_.k + 2 * step * scratch_.column_tiles * kTileFloats;
    const int64_t halves = least(2, tiles_of(head_.length - step * kStepKeys, kLanes));
    for (int64_t half = 0; half < halves; ++half, to += kTileFloats) {
      if (bounded) {
        tiles_.template load<kScoreTile>(scratch_.start, kTileBytes);
      } else {
        tiles_.template zero<kScoreTile>();
      }
      for (int64_t i = 0; i < scratch_.column_tiles; ++i, k += kTileFloats) {
        tiles_.template load<kBTile>(k, kTileBytes);
        if constexpr (kResident) {
          tiles_.template dot<PairProduct, kScoreTile, kQueryTile, kBTile>();
        } else {
          tiles_.template load<kATile>(q + i * kTileFloats, kTileBytes);
          tiles_.template dot<PairProduct, kScoreTile, kATile, kBTile>();
        }
      }
      tiles_.template store<kScoreTile>(to, kTileBytes);
    }
  }

  /** Calls visit(row, keys) with the keys that a row's query sees, a bit each. */
  template <Seen kSeen, class Visit>
  void visit_rows(const TileBlock& block, int64_t step, const Visit& visit) const {
    const uint32_t same = kSeen == Seen::kSame ? seen_keys(head_, block.first, step) : ~uint32_t{0};
#pragma GCC unroll 16
    for (int row = 0; row < kTileRows; ++row) {
      visit(row, kSeen == Seen::kOwn ? seen_keys(head_, block.first + row, step) : same);
    }
  }
  template <class Visit>
  void visit_rows(const TileBlock& block, int64_t step, const Visit& visit) const {
    switch (seen_in(block, step, head_.length)) {
      case Seen::kAll:
        return visit_rows<Seen::kAll>(block, step, visit);
      case Seen::kSame:
        return visit_rows<Seen::kSame>(block, step, visit);
      case Seen::kOwn:
        return visit_rows<Seen::kOwn>(block, step, visit);
    }
  }

  /** Calls visit(row, keys, low, high) with scaled and biased scores of 16 keys and the 16 after them, less
   * the row's maximum. */
  template <class Visit>
  void visit_scores(const TileBlock& block, int64_t step, const float* scores, const float* row_max,
                    const Visit& visit) const {
    const float* const line =
        scratch_.line ? scratch_.line + highest() - block.first + step * kStepKeys : nullptr;
    const Vec factor = broadcast(factor_);
    visit_rows(block, step, [&](int row, uint32_t keys) {
      Vec low = broadcast(-row_max[row]);
      Vec high = low;
      if (line) {
        low = low + load(line - row);
        high = high + load(line - row + kLanes);
      }
      const float* const at = scores + row * kLanes;
      visit(row, keys, fma(load(at), factor, low), fma(load(at + kTileFloats), factor, high));
    });
  }

  void find_row_max(const TileBlock& block, int64_t i, float* row_max) {
    Vec top[kTileRows];
    for (Vec& row : top) row = broadcast(-__builtin_inff());
    const auto update = [&](int row, uint32_t keys, Vec low, Vec high) {
      top[row].v = _mm512_mask_max_ps(top[row].v, static_cast<__mmask16>(keys), low.v, top[row].v);
      top[row].v = _mm512_mask_max_ps(top[row].v, static_cast<__mmask16>(keys >> 16), high.v, top[row].v);
    };
    for (int64_t first = block.begin; first < block.end; first += kScoredSteps) {
      const int64_t count = least(kScoredSteps, block.end - first);
      for (int64_t n = 0; n < count; ++n) {
        multiply_scores<false>(query_tiles(i), first + n, false, score_tiles(n));
      }
      for (int64_t n = 0; n < count; ++n) visit_scores(block, first + n, score_tiles(n), row_max, update);
    }
    for (int row = 0; row < kTileRows; ++row) {
      const float greatest = simd::reduce_max(top[row]);
      row_max[row] = greatest < -kLargestFloat ? 0 : greatest;
    }
  }

  /** P of a step, a row of 32 keys each. */
  void exponentiate(const TileBlock& block, int64_t step, const float* scores, const float* row_max,
                    float* to) const {
    visit_scores(block, step, scores, row_max, [&](int row, uint32_t keys, Vec low, Vec high) {
      _mm512_store_si512(to + row * kLanes, _mm512_maskz_mov_epi16(pair_mask(keys), exp2_pairs(low, high)));
    });
  }
  /** The same of bounded scores. */
  void exponentiate_bounded(const TileBlock& block, int64_t step, const float* scores, float* to) const {
    const FixedExp2 exp2 = fixed_exp2_;
    visit_rows(block, step, [&](int row, uint32_t keys) {
      const float* const at = scores + row * kLanes;
      _mm512_store_si512(to + row * kLanes,
                         _mm512_maskz_mov_epi16(pair_mask(keys), exp2(at, at + kTileFloats)));
    });
  }

  template <int kTile, int kEnd, class Visit>
  static void each_tile(const Visit& visit) {
    if constexpr (kTile < kEnd) {
      visit.template operator()<kTile>();
      each_tile<kTile + 1, kEnd>(visit);
    }
  }

  /** O += P V for columns of kColumns tiles from tile `first` on; for the first of them, their sums too. */
  template <int kColumns, bool kSums>
  void multiply_values(const float* p, int64_t step, int64_t first) {
    const float* const v = scratch_.v + (step * scratch_.value_tiles + first) * kTileFloats;
    tiles_.template load<kATile>(p, kTileBytes);
    each_tile<0, kColumns>([&]<int kTile>() {
      tiles_.template load<kBTile>(v + kTile * kTileFloats, kTileBytes);
      tiles_.template dot<PairProduct, kTile, kATile, kBTile>();
    });
    if constexpr (kSums && kColumns <= kOnesTile) {
      tiles_.template dot<PairProduct, kSumTile, kATile, kOnesTile>();
    } else if constexpr (kSums) {
      tiles_.template load<kBTile>(scratch_.ones, kTileBytes);
      tiles_.template dot<PairProduct, kSumTile, kATile, kBTile>();
    }
  }

  template <int kColumns, bool kSums>
  void begin_sums(const float* out, int64_t first, bool resume) {
    each_tile<0, kColumns>([&]<int kTile>() {
      if (resume) {
        tiles_.template load<kTile>(out + (first + kTile) * kTileFloats, kTileBytes);
      } else {
        tiles_.template zero<kTile>();
      }
    });
    if constexpr (kSums) {
      if (resume) {
        tiles_.template load<kSumTile>(out + scratch_.value_tiles * kTileFloats, kTileBytes);
      } else {
        tiles_.template zero<kSumTile>();
      }
    }
  }

  template <int kColumns, bool kSums>
  void end_sums(float* out, int64_t first) {
    each_tile<0, kColumns>(
        [&]<int kTile>() { tiles_.template store<kTile>(out + (first + kTile) * kTileFloats, kTileBytes); });
    if constexpr (kSums) {
      tiles_.template store<kSumTile>(out + scratch_.value_tiles * kTileFloats, kTileBytes);
    }
  }

  /** Steps [begin, end) of one block of queries. */
  void run_steps(const TileBlock& block, int64_t i, int64_t begin, int64_t end, bool resume, float* out) {
    const int64_t count = end - begin;
    const auto probabilities = [&](int64_t n) { return scratch_.probabilities + n * kTileFloats; };
    for_even_tiles<kMostColumnTiles>(scratch_.value_tiles, [&]<int kColumns>(int64_t first) {
      if (first > 0) {
        begin_sums<kColumns, false>(out, first, resume);
        for (int64_t n = 0; n < count; ++n) {
          multiply_values<kColumns, false>(probabilities(n), begin + n, first);
        }
        return end_sums<kColumns, false>(out, first);
      }
      const bool resident = kColumns < kQueryTile && scratch_.column_tiles == 1;
      if constexpr (kColumns <= kOnesTile) tiles_.template load<kOnesTile>(scratch_.ones, kTileBytes);
      if (resident) tiles_.template load<kQueryTile>(query_tiles(i), kTileBytes);
      begin_sums<kColumns, true>(out, 0, resume);
      for (int64_t from = 0; from < count; from += kScoredSteps) {
        const int64_t scored = least(kScoredSteps, count - from);
        score(block, i, begin + from, scored, resident, probabilities(from));
        for (int64_t n = from; n < from + scored; ++n) {
          multiply_values<kColumns, true>(probabilities(n), begin + n, 0);
        }
      }
      end_sums<kColumns, true>(out, 0);
    });
  }

  /** P of `count` steps from `first` on. */
  void score(const TileBlock& block, int64_t i, int64_t first, int64_t count, bool resident, float* to) {
    const bool bounded = scratch_.bounded[i] != 0;
    for (int64_t n = 0; n < count; ++n) {
      if (resident) {
        multiply_scores<true>(nullptr, first + n, bounded, score_tiles(n));
      } else {
        multiply_scores<false>(query_tiles(i), first + n, bounded, score_tiles(n));
      }
    }
    for (int64_t n = 0; n < count; ++n, to += kTileFloats) {
      if (bounded) {
        exponentiate_bounded(block, first + n, score_tiles(n), to);
      } else {
        exponentiate(block, first + n, score_tiles(n), scratch_.row_max + i * kTileQueries, to);
      }
    }
  }

  Tiles& tiles_;
  const AttentionHead& head_;
  const TileScratch& scratch_;
  Fetcher& fetch_;
  const TileResults results_;
  const float factor_;  // of scores, to log2 units
  const FixedExp2 fixed_exp2_;
};

/** The tiles of the calling thread. */
template <class Tiles>
Tiles& thread_tiles() {
  thread_local Tiles tiles;
  return tiles;
}

template <class Tiles>
void run_tile_flash(const AttentionHead& head, float* memory) {
  const TileScratch scratch(memory, head.bias, head.head_dim, head.last_query - head.first_query,
                            head.length);
  Fetcher fetch(head.fetch);
  if (head.bf16) {
    TileFlash<Tiles, uint16_t>(thread_tiles<Tiles>(), head, scratch, fetch).run();
  } else {
    TileFlash<Tiles, float>(thread_tiles<Tiles>(), head, scratch, fetch).run();
  }
}

/** No disentangled bias, whose products are fp32. */
template <class Tiles>
constexpr AttentionKernels tile_attention_kernels() {
  return {.scratch_floats = tile_scratch_floats,
          .run = run_tile_flash<Tiles>,
          .takes_bf16 = true,
          .enter = [] { thread_tiles<Tiles>().configure(attention_tile_shapes()); },
          .leave = [] { thread_tiles<Tiles>().release(); }};
}

}  // namespace
}  // namespace padless::avx512
