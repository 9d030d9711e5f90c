// Writes what tiles of sums say of a block of queries, in f32 or bf16.
#pragma once

#include "lib/engine/cpu/attention/kernel.h"
#include "lib/engine/cpu/attention/lanes.h"
#include "lib/engine/cpu/attention/tile_pack.h"
#include "lib/engine/cpu/attention/tile_scratch.h"

namespace padless::avx512 {
namespace {

class TileResults {
 public:
  explicit TileResults(const AttentionHead& head) : head_(head) {}

  /** `out` are tiles of sums of columns, and one of sums of probabilities. */
  void write(const TileBlock& block, int64_t member, const float* out, const float* row_max) const {
    const float* const sums = out + tiles_of(head_.head_dim, kLanes) * kTileFloats;
    for (int64_t row = 0; row < block.rows; ++row) {
      const float sum = sums[row * kLanes];  // every column holds it
      const Vec factor = broadcast(sum == 0 ? 0 : 1 / sum);
      store(block.first + row, member,
            [&](int64_t tile) { return load(out + tile * kTileFloats + row * kLanes) * factor; });
      if (head_.lse != nullptr) {
        head_.lse[member * head_.lse_stride + block.first + row] = row_max[row] * kLn2 + __builtin_logf(sum);
      }
    }
  }

  /** Results of queries that see no key. */
  void write_unseeing(const TileBlock& block, int64_t member) const {
    for (int64_t row = 0; row < block.rows; ++row) {
      store(block.first + row, member, [](int64_t) { return zero(); });
      if (head_.lse != nullptr) head_.lse[member * head_.lse_stride + block.first + row] = -__builtin_inff();
    }
  }

  /** Asks for the lines that results go to: loads of tiles wait for stores that miss the cache. */
  void fetch(const TileBlock& block, int64_t member) const {
    if (head_.out == head_.q) return;
    const int64_t size = head_.bf16_out ? 2 : 4;
    const char* row = static_cast<const char*>(head_.out) +
                      (block.first * head_.out_stride + member * head_.head_dim) * size;
    for (int64_t i = 0; i < block.rows; ++i, row += head_.out_stride * size) {
      for (int64_t at = 0; at < head_.head_dim * size; at += kTileBytes) __builtin_prefetch(row + at, 1);
    }
  }

 private:
  /** `values(tile)` are 16 columns of a query's result. */
  template <class Values>
  void store(int64_t query, int64_t member, const Values& values) const {
    const int64_t dim = head_.head_dim;
    for (int64_t column = 0; column < dim; column += 2 * kLanes) {
      const __mmask32 first = lanes_below(dim - column);
      const __mmask32 second = lanes_below(dim - column - kLanes);
      const Vec low = values(column / kLanes);
      const Vec high = second ? values(column / kLanes + 1) : zero();
      const int64_t at = query * head_.out_stride + member * dim + column;
      if (head_.bf16_out) {
        _mm512_mask_storeu_epi16(static_cast<uint16_t*>(head_.out) + at, first | second << kLanes,
                                 round_pairs(high, low));
      } else {
        float* const to = static_cast<float*>(head_.out) + at;
        _mm512_mask_storeu_ps(to, static_cast<__mmask16>(first), low.v);
        _mm512_mask_storeu_ps(to + kLanes, static_cast<__mmask16>(second), high.v);
      }
    }
  }

  const AttentionHead& head_;
};

}  // namespace
}  // namespace padless::avx512
