// Memory of one call of the tile kernel, and how queries and keys are cut into blocks, steps and chunks.
#pragma once

#include "lib/engine/cpu/attention/kernel.h"
#include "lib/engine/cpu/attention/lanes.h"
#include "lib/engine/cpu/attention/tile_pack.h"

namespace padless::avx512 {
namespace {

inline TileShapes attention_tile_shapes() {
  TileShapes shapes;
  for (int tile = 0; tile < 8; ++tile) {
    shapes.rows[tile] = kTileRows;
    shapes.row_bytes[tile] = kTileBytes;
  }
  return shapes;
}

/** Steps of 32 keys whose K and V stay in the first-level cache while all blocks of queries pass. */
inline int64_t chunk_steps(int64_t head_dim) {
  constexpr int64_t kChunkBytes = 32 * 1024;
  return most(2, kChunkBytes / (4 * kStepKeys * padded(head_dim)));
}

/** Steps whose scores are exponentiated together: so few that they and a chunk stay in the first-level cache.
 */
constexpr int64_t kScoredSteps = 3;

/** Memory of one kernel call, in tiles. */
struct TileScratch {
  TileScratch(float* memory, const AttentionHeadBias& bias, int64_t head_dim, int64_t queries, int64_t length)
      : column_tiles(tiles_of(head_dim, kTileColumns)), value_tiles(tiles_of(head_dim, kLanes)) {
    const int64_t blocks = tiles_of(queries, kTileQueries);
    const int64_t steps = tiles_of(length, kStepKeys);
    int64_t at = 0;
    const auto take = [&](int64_t floats) {
      float* const part = memory + at;
      at += padded(floats);
      return part;
    };
    scores = take(2 * kScoredSteps * kTileFloats);
    ones = take(kTileFloats);
    start = take(kTileFloats);
    probabilities = take(chunk_steps(head_dim) * kTileFloats);
    q = take(blocks * column_tiles * kTileFloats);
    k = take(2 * steps * column_tiles * kTileFloats);
    v = take(steps * value_tiles * kTileFloats);
    key_square = take(steps * kLanes);
    largest_value = take(steps * kLanes);
    out = take((steps > chunk_steps(head_dim) ? blocks : 1) * (value_tiles + 1) * kTileFloats);
    row_max = take(blocks * kTileQueries);
    bounded = take(blocks);
    line = bias.alibi_slopes || bias.relative ? take(queries + length + 2 * kStepKeys) : nullptr;
    floats = at;
  }

  int64_t column_tiles;
  int64_t value_tiles;
  int64_t floats;
  float* scores;         // [kScoredSteps, 2]
  float* ones;           // bf16
  float* start;          // what bounded scores begin with
  float* probabilities;  // [steps of a chunk]
  float* q;
  float* k;
  float* v;
  float* key_square;     // [steps, kLanes]
  float* largest_value;  // [steps, kLanes]
  float* out;            // [blocks, columns and sum]
  float* row_max;        // [blocks, queries], log2 units; 0 where scores are bounded
  float* bounded;        // [blocks], 1 where they are
  float* line;           // the bias by distance
};

inline int64_t tile_scratch_floats(const AttentionHeadBias& bias, int64_t head_dim, int64_t length) {
  return TileScratch(nullptr, bias, head_dim, length, length).floats;
}

/** A block of queries and what it sees. */
struct TileBlock {
  int64_t first;  // query
  int64_t rows;   // of queries
  int64_t begin;  // steps that some query sees: [begin, end)
  int64_t end;
  int64_t full_begin;  // keys that all queries see: [full_begin, full_end)
  int64_t full_end;
};

/** Which keys of a step count: all, the same for each query, or for each its own. */
enum class Seen { kAll, kSame, kOwn };

inline Seen seen_in(const TileBlock& block, int64_t step, int64_t length) {
  if (step * kStepKeys < block.full_begin) return Seen::kOwn;
  if ((step + 1) * kStepKeys <= block.full_end) return Seen::kAll;
  return block.full_end == length ? Seen::kSame : Seen::kOwn;
}

/** Keys of a step that query `query` sees, a bit each. */
inline uint32_t seen_keys(const AttentionHead& head, int64_t query, int64_t step) {
  const auto below = [&](int64_t key) {
    const int64_t count = most(0, least(kStepKeys, key - step * kStepKeys));
    return static_cast<uint32_t>((uint64_t{1} << count) - 1);
  };
  return below(least(head.length, query + head.window_right + 1)) & ~below(query - head.window_left);
}

}  // namespace
}  // namespace padless::avx512
