// Attention forward over packed sequences:  out = softmax(scale q k^T + bias) v, for one head and one tile of
// queries.
//
// A warp owns 16 queries. Keys and values arrive by cp.async in tiles of kKeys, two in a ring, with an online
// softmax over the tiles. A shape with one stage holds all keys of its sequences at once, and the softmax is
// one exact pass. Tiles past the sequence are not visited, and warps without a query only wait.
//
// Rows past the sequence belong to the next one: they are never read, but written as zeros to shared memory,
// because a probability of 0 times a neighbour's NaN is NaN.
#pragma once

#include "cuda/attention/warp_attention.cuh"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda {

template <int kHeadDim_, int kWarps_, int kKeys_, int kStages_>
struct AttentionTileShape {
  static constexpr int kHeadDim = kHeadDim_, kWarps = kWarps_, kKeys = kKeys_, kStages = kStages_;
  static constexpr int kQueries = 16 * kWarps, kThreads = 32 * kWarps;
};

template <class T, class Shape>
struct AttentionStorage {
  SharedTile<T, Shape::kQueries, Shape::kHeadDim> q;
  SharedTile<T, Shape::kKeys, Shape::kHeadDim> k[Shape::kStages], v[Shape::kStages];
  uint32_t item;
};

template <class T, class Shape>
DEVICE void attend(const AttentionParams<T>& p, AttentionStorage<T, Shape>& shared, int index) {
  constexpr int kHeadDim = Shape::kHeadDim, kKeys = Shape::kKeys, kStages = Shape::kStages,
                kThreads = Shape::kThreads;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp_row = thread / 32 * 16;
  const AttentionItem item = attention_item(p, index, Shape::kQueries);
  const int first_query = item.first_query, length = item.length;
  if (first_query >= length) return;  // the same for the whole block

  // One stage holds all keys from the first on, whatever the window.
  const auto keys =
      kStages == 1 ? AttentionItem::Keys{0, 1} : item.seen_keys(Shape::kQueries, kKeys, p.left, p.right);
  const ScoreRule rule = score_rule(p, item);
  const T* k = p.k + item.begin * p.k_stride + item.kv_head * kHeadDim;
  const T* v = p.v + item.begin * p.v_stride + item.kv_head * kHeadDim;
  const auto fetch = [&](int step) {
    if (step < keys.tiles) {
      const int64_t key = keys.first + step * kKeys;
      const int left = item.keys - static_cast<int>(key);
      copy_tile_async<kThreads>(shared.k[step % kStages], k + key * p.k_stride, p.k_stride, left, kHeadDim,
                                thread);
      copy_tile_async<kThreads>(shared.v[step % kStages], v + key * p.v_stride, p.v_stride, left, kHeadDim,
                                thread);
    }
    ptx::cp_async_commit_group();
  };
  copy_tile_async<kThreads>(shared.q, p.q + (item.begin + first_query) * p.q_stride + item.head * kHeadDim,
                            p.q_stride, length - first_query, kHeadDim, thread);
  fetch(0);

  WarpOutput<kHeadDim> out;
  out.clear();
  const int query = first_query + warp_row + lane / 4;
  const bool warp_has_rows = first_query + warp_row < length;

  for (int step = 0; step < keys.tiles; step++) {
    ptx::cp_async_wait_group<0>();
    __syncthreads();  // this tile has arrived for all, and all have left the one that is filled next
    if (kStages > 1) fetch(step + 1);
    if (!warp_has_rows) continue;
    REGS(float, score, [kKeys / 8][4]);
    multiply_rows<T>(score, shared.q, warp_row, shared.k[step % kStages], 0, lane);
    apply_rule(score, rule, p.scale_log2, query, keys.first + step * kKeys, lane);
    online_softmax(score, out);
    add_values<T>(out, score, shared.v[step % kStages], lane);
  }
  if (warp_has_rows) store_output(p, item, out, shared.q, warp_row, lane);
  ptx::cp_async_wait_group<0>();  // of the empty last group: nothing is in flight when the next item begins
}

// One block an SM is all that is asked for: with more in mind, ptxas spills a register to reach 128.
template <class T, class Shape>
__global__ void __launch_bounds__(Shape::kThreads, 1) attention_kernel(const AttentionParams<T> p) {
  using Storage = AttentionStorage<T, Shape>;
  SHARED_STORAGE(Storage, shared);
  wait_for_stream();
  for_each_item(p, shared.item, [&](int item) { attend<T, Shape>(p, shared, item); });
}

}  // namespace padless::cuda
