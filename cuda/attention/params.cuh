// What the attention kernels share: parameters, the share of a block, which keys a query sees.
#pragma once

#include "cuda/padless_cuda.h"
#include "cuda/platform.cuh"
#include "cuda/tile/token_range.cuh"

namespace padless::cuda {

constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.69314718055994531f;

template <class T>
struct AttentionParams {
  const T *q, *k, *v;  // [T, ...]: head h of q starts at column h * head_dim
  T* out;              // [T, heads * head_dim]
  int64_t q_stride, k_stride, v_stride, out_stride;
  float* lse;  // [heads, lse_stride], or null
  int64_t lse_stride;
  const int32_t* cu_seqlens;
  int tokens;                 // T: what cu_seqlens is clamped to
  const int32_t* key_counts;  // [sequences], or null: every token is a key
  const AttentionTile* tiles;
  int parts;                  // that a tile of queries is cut into, each a block's
  int items;                  // tiles * parts * heads
  uint32_t* counter;          // of items fetched, or null: block i does item i
  int heads, queries_per_kv;  // query heads of a key head
  float scale_log2;           // scale * log2(e): the softmax is in base 2
  int left, right;            // key within [query - left, query + right]
  const float* alibi_slopes;  // [heads], or null
  const float* relative;      // [heads, 2 * reach + 1], or null
  int reach;
  bool aligned_out;
};

// Work item i: head i % heads, queries from `first_query` on of a sequence of `length` tokens from `begin`,
// of which the first `keys` are keys.
struct AttentionItem {
  int head, kv_head, first_query, length, keys;
  int64_t begin;

  // The keys that `queries` queries from the first on may see: `tiles` tiles of `keys` from `first` on.
  struct Keys {
    int first, tiles;
  };
  DEVICE Keys seen_keys(int queries, int tile, int left, int right) const {
    const int last_query = min(first_query + queries, length) - 1, last_tile = (keys - 1) / tile * tile;
    // A window past the last key still gets a tile: every kernel has one to mask.
    const int first = first_query <= left ? 0 : min((first_query - left) / tile * tile, last_tile);
    const int end = last_query >= keys - right ? keys : min(keys, last_query + right + 1);
    return {first, (end - first + tile - 1) / tile};
  }
};

template <class T>
DEVICE AttentionItem attention_item(const AttentionParams<T>& p, int index, int queries) {
  const int head = index % p.heads, share = index / p.heads;
  const AttentionTile tile = p.tiles[share / p.parts];
  const TokenRange tokens = token_range(p.cu_seqlens, tile.sequence, p.tokens);
  const int length = tokens.end - tokens.begin;
  const int keys = p.key_counts == nullptr ? length : min(p.key_counts[tile.sequence], length);
  const int first_query = tile.first_query + share % p.parts * queries;
  return {head, head / p.queries_per_kv, first_query, length, keys, tokens.begin};
}

// What is added to a score (in base 2), and whether the key is seen at all.
struct ScoreRule {
  int keys, left, right;
  float slope;            // 0: none
  const float* relative;  // of this head, or null
  int reach;

  DEVICE bool all_seen(int first_query, int last_query, int first_key, int last_key) const {
    return last_key < keys && last_query - first_key <= left && last_key - first_query <= right;
  }
  DEVICE bool seen(int query, int key) const {
    return key < keys && query - key <= left && key - query <= right;
  }
  DEVICE bool biased() const { return slope != 0.0f || relative != nullptr; }
  DEVICE float alibi(int query, int key) const {
    return slope * static_cast<float>(key > query ? key - query : query - key);
  }
  DEVICE float relative_bias(int query, int key) const {
    return kLog2E * relative[min(max(key - query, -reach), reach) + reach];
  }
  DEVICE float apply(float score, int query, int key) const {
    if (!seen(query, key)) return -INFINITY;
    if (slope != 0.0f) score -= alibi(query, key);
    if (relative != nullptr) score += relative_bias(query, key);
    return score;
  }
};

template <class T>
DEVICE ScoreRule score_rule(const AttentionParams<T>& p, const AttentionItem& item) {
  const bool relative = p.relative != nullptr;
  return {item.keys,
          p.left,
          p.right,
          p.alibi_slopes == nullptr ? 0.0f : kLog2E * p.alibi_slopes[item.head],
          relative ? p.relative + static_cast<int64_t>(item.head) * (2 * p.reach + 1) : nullptr,
          p.reach};
}

// Calls attend(item) for the items of this block: one, or with a counter as many as it fetches. `fetched` is
// in shared memory.
template <class T, class Attend>
DEVICE void for_each_item(const AttentionParams<T>& p, uint32_t& fetched, Attend attend) {
  if (p.counter == nullptr) {
    attend(static_cast<int>(blockIdx.x));
    return;
  }
  // Every block fetches until it gets a number past the end, so items + gridDim.x numbers are drawn in all;
  // the counter wraps to 0 at the last of them and is ready for the next launch.
  while (true) {
    if (threadIdx.x == 0) fetched = atomicInc(p.counter, static_cast<unsigned>(p.items) + gridDim.x - 1);
    __syncthreads();
    const int item = static_cast<int>(fetched);
    if (item >= p.items) return;
    attend(item);
    __syncthreads();  // all have left the tiles and read the item
  }
}

}  // namespace padless::cuda
