// Attention over sequences whose keys all fit in shared memory: one exact softmax, nothing is rescaled.
//
// A warpgroup owns 64 queries. A block takes one (sequence, head, tile of queries) after the other, and the
// next one's queries and keys are fetched as soon as the scores of this one stand, its values as soon as the
// output does: one buffer is enough to keep TMA busy.
#pragma once

#include "cuda/attention/sm90/barrier.cuh"
#include "cuda/attention/sm90/maps.h"
#include "cuda/attention/sm90/output.cuh"
#include "cuda/attention/sm90/softmax.cuh"
#include "cuda/attention/sm90/tile.cuh"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda::sm90 {

// kBlocks: that registers and shared memory of an SM are to hold.
template <int kHeadDim_, int kMaxKeys_, int kQueries_, int kBlocks_>
struct ShortShape {
  static constexpr int kHeadDim = kHeadDim_, kMaxKeys = kMaxKeys_, kQueries = kQueries_, kBlocks = kBlocks_,
                       kThreads = 2 * kQueries;
};

template <class T, class Shape>
struct ShortStorage {
  PanelTile<T, Shape::kQueries, Shape::kHeadDim> q;
  PanelTile<T, Shape::kMaxKeys, Shape::kHeadDim> k, v;
  uint64_t scored_full, values_full;  // q and k; v
};

// The item at `index`, or the block's next one that has queries; past the last one `index` is p.items or
// more.
template <class T>
DEVICE AttentionItem find_item(const AttentionParams<T>& p, int& index, int queries) {
  for (; index < p.items; index += static_cast<int>(gridDim.x)) {
    const AttentionItem item = attention_item(p, index, queries);
    if (item.first_query < item.length) return item;
  }
  return {};
}

template <class T, class Shape>
DEVICE void fetch_scored(ShortStorage<T, Shape>& shared, const AttentionMaps& maps,
                         const AttentionItem& item) {
  expect(shared.scored_full, shared.q.kBytes + shared.k.kBytes);
  load_tile(shared.q, &maps.q, shared.scored_full, item.head * Shape::kHeadDim, item.begin, item.first_query,
            item.length);
  load_tile(shared.k, &maps.k, shared.scored_full, item.kv_head * Shape::kHeadDim, item.begin, 0,
            item.length);
}

template <class T, class Shape>
DEVICE void fetch_values(ShortStorage<T, Shape>& shared, const AttentionMaps& maps,
                         const AttentionItem& item) {
  expect(shared.values_full, shared.v.kBytes);
  load_tile(shared.v, &maps.v, shared.values_full, item.kv_head * Shape::kHeadDim, item.begin, 0,
            item.length);
}

template <class T, class Shape>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocks)
    short_attention_kernel(const __grid_constant__ AttentionMaps maps, const AttentionParams<T> p) {
  constexpr int kHeadDim = Shape::kHeadDim, kKeys = Shape::kMaxKeys;
  using Storage = ShortStorage<T, Shape>;
  SHARED_STORAGE(Storage, shared);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, group_row = thread / 128 * 64,
            lane_row = thread / 32 * 16 + lane / 4;
  if (thread == 0) {
    prefetch(maps);
    init(shared.scored_full, 1);
    init(shared.values_full, 1);
    ptx::fence_mbarrier_init();
  }
  wait_for_stream();
  int index = static_cast<int>(blockIdx.x);
  AttentionItem item = find_item(p, index, Shape::kQueries);
  if (index >= p.items) return;
  if (thread == 0) {
    fetch_scored(shared, maps, item);
    fetch_values(shared, maps, item);
  }
  __syncthreads();

  for (unsigned parity = 0; index < p.items; parity ^= 1) {
    index += static_cast<int>(gridDim.x);
    const AttentionItem next = find_item(p, index, Shape::kQueries);
    const bool fetches = thread == 0 && index < p.items;
    const bool has_rows = item.first_query + group_row < item.length;  // the same for the warpgroup

    REGS(float, score, [kKeys / 2]);
    if (has_rows) {
      wait(shared.scored_full, parity);
      start_scores<T, kKeys>(score, shared.q, group_row, shared.k);
      ptx::wgmma_wait_group<0>();
      ptx::wgmma_fence_operand(score);
    }
    __syncthreads();  // nobody reads q and k any more
    if (fetches) fetch_scored(shared, maps, next);

    RunningSoftmax softmax;
    REGS(float, out, [kHeadDim / 2]);
    if (has_rows) {
      const ScoreRule rule = score_rule(p, item);
      const float factor = apply_rule(score, rule, p.scale_log2, item.first_query + lane_row, 0, lane);
      float unused[2];
      softmax.add(score, factor, unused);
      uint32_t probability[kKeys / 16][4];
      pack_probabilities<T>(probability, score);
      wait(shared.values_full, parity);
      start_values<T>(out, probability, shared.v, false);
      ptx::wgmma_wait_group<0>();
      ptx::wgmma_fence_operand(out);
    }
    __syncthreads();  // nor v
    if (fetches) fetch_values(shared, maps, next);
    if (has_rows) store_rows<T, kHeadDim>(p, item, out, softmax, item.first_query + lane_row, lane);
    item = next;
  }
}

}  // namespace padless::cuda::sm90
