// Attention over sequences of any length: a warp of producers, two warpgroups of consumers, online softmax.
//
// Keys and values come by TMA in tiles of kKeys through rings of kStages. A consumer owns 64 queries. Its
// scores of a tile are multiplied while the probabilities of the tile before are multiplied with the values;
// named barriers let the two consumers issue in turn, so that the softmax of one runs under the products of
// the other.
#pragma once

#include "cuda/attention/sm90/barrier.cuh"
#include "cuda/attention/sm90/maps.h"
#include "cuda/attention/sm90/output.cuh"
#include "cuda/attention/sm90/softmax.cuh"
#include "cuda/attention/sm90/tile.cuh"
#include "cuda/ptx/barrier.cuh"
#include "cuda/ptx/setmaxnreg.cuh"
#include "cuda/tile/ring.cuh"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda::sm90 {

template <int kHeadDim_, int kStages_>
struct LongShape {
  static constexpr int kHeadDim = kHeadDim_, kStages = kStages_, kQueries = 128, kKeys = 128,
                       kConsumerWarps = 8, kThreads = 128 + 2 * kQueries;
};

template <class T, class Shape>
struct LongStorage {
  PanelTile<T, Shape::kQueries, Shape::kHeadDim> q;
  PanelTile<T, Shape::kKeys, Shape::kHeadDim> k[Shape::kStages], v[Shape::kStages];
  uint64_t q_full, q_empty, k_full[Shape::kStages], k_empty[Shape::kStages], v_full[Shape::kStages],
      v_empty[Shape::kStages];
  int item;  // that q belongs to, or p.items or more: no more come
};

// Numbers of the items that this block does: fetched from the counter, or every gridDim.x-th.
template <class T>
struct ItemNumbers {
  const AttentionParams<T>& p;
  int last = -1;

  DEVICE int next() {
    if (p.counter != nullptr) {
      // As in for_each_item(): items + gridDim.x numbers are drawn in all.
      return static_cast<int>(atomicInc(p.counter, static_cast<unsigned>(p.items) + gridDim.x - 1));
    }
    last = last < 0 ? static_cast<int>(blockIdx.x) : last + static_cast<int>(gridDim.x);
    return last;
  }
};

// One thread: all that consumers read passes through here.
template <class T, class Shape>
DEVICE void produce(LongStorage<T, Shape>& shared, const AttentionMaps& maps, const AttentionParams<T>& p) {
  constexpr int kHeadDim = Shape::kHeadDim, kKeys = Shape::kKeys;
  RingPosition<Shape::kStages> k_ring, v_ring;
  ItemNumbers<T> numbers{p};
  unsigned q_parity = 0;
  int index = numbers.next();
  for (; index < p.items; index = numbers.next()) {
    const AttentionItem item = attention_item(p, index, Shape::kQueries);
    if (item.first_query >= item.length) continue;
    const auto keys = item.seen_keys(Shape::kQueries, kKeys, p.left, p.right);
    const auto fetch_keys = [&](int tile) {
      wait(shared.k_empty[k_ring.stage], k_ring.parity ^ 1);
      expect(shared.k_full[k_ring.stage], shared.k[0].kBytes);
      load_tile(shared.k[k_ring.stage], &maps.k, shared.k_full[k_ring.stage], item.kv_head * kHeadDim,
                item.begin, keys.first + tile * kKeys, item.length);
      k_ring.advance();
    };
    fetch_keys(0);
    wait(shared.q_empty, q_parity ^ 1);
    q_parity ^= 1;
    shared.item = index;
    expect(shared.q_full, shared.q.kBytes);
    load_tile(shared.q, &maps.q, shared.q_full, item.head * kHeadDim, item.begin, item.first_query,
              item.length);
    for (int tile = 0; tile < keys.tiles; tile++) {
      if (tile + 1 < keys.tiles) fetch_keys(tile + 1);
      wait(shared.v_empty[v_ring.stage], v_ring.parity ^ 1);
      expect(shared.v_full[v_ring.stage], shared.v[0].kBytes);
      load_tile(shared.v[v_ring.stage], &maps.v, shared.v_full[v_ring.stage], item.kv_head * kHeadDim,
                item.begin, keys.first + tile * kKeys, item.length);
      v_ring.advance();
    }
  }
  wait(shared.q_empty, q_parity ^ 1);
  shared.item = index;
  arrive(shared.q_full);
}

template <class T, class Shape>
class Consumer {
 public:
  using Storage = LongStorage<T, Shape>;
  DEVICE Consumer(const AttentionParams<T>& p, Storage& shared, int group, int thread)
      : p_(p),
        shared_(shared),
        group_(group),
        lane_(thread % 32),
        lane_row_(group * 64 + thread / 32 * 16 + lane_ / 4) {}

  DEVICE void run() {
    if (group_ == 1) pass_turn();  // the first turn is that of group 0
    for (unsigned parity = 0;; parity ^= 1) {
      wait(shared_.q_full, parity);
      const int index = shared_.item;
      if (index >= p_.items) break;
      const AttentionItem item = attention_item(p_, index, Shape::kQueries);
      const auto keys = item.seen_keys(Shape::kQueries, kKeys, p_.left, p_.right);
      if (item.first_query + group_ * 64 < item.length) {
        attend(item, keys);
      } else {
        pass_by(keys.tiles);
      }
    }
    if (group_ == 0) take_turn();  // the last one was passed on, too
  }

 private:
  static constexpr int kHeadDim = Shape::kHeadDim, kKeys = Shape::kKeys;

  // Named barriers 1 and 2 are the turns of the two groups.
  DEVICE void take_turn() { ptx::barrier_sync(1u + static_cast<unsigned>(group_), 2 * Shape::kQueries); }
  DEVICE void pass_turn() { ptx::barrier_arrive(2u - static_cast<unsigned>(group_), 2 * Shape::kQueries); }

  DEVICE void wait_keys() { wait(shared_.k_full[k_ring_.stage], k_ring_.parity); }
  DEVICE void wait_values() { wait(shared_.v_full[v_ring_.stage], v_ring_.parity); }
  DEVICE void release_keys() {
    arrive_warp(shared_.k_empty[k_ring_.stage], lane_);
    k_ring_.advance();
  }
  DEVICE void release_values() {
    arrive_warp(shared_.v_empty[v_ring_.stage], lane_);
    v_ring_.advance();
  }

  // No query of this group is in the sequence: the tiles are let pass.
  DEVICE void pass_by(int tiles) {
    arrive_warp(shared_.q_empty, lane_);
    for (int tile = 0; tile < tiles; tile++) {
      wait_keys();
      release_keys();
      wait_values();
      release_values();
    }
  }

  DEVICE void attend(const AttentionItem& item, AttentionItem::Keys keys) {
    const bool takes_turns = item.first_query + 64 < item.length;  // both groups have queries
    const ScoreRule rule = score_rule(p_, item);
    const int query = item.first_query + lane_row_;
    RunningSoftmax softmax;
    float rescale[2];
    REGS(float, score, [kKeys / 2]);
    REGS(float, out, [kHeadDim / 2]);
    uint32_t probability[kKeys / 16][4];

    wait_keys();
    start_scores<T, kKeys>(score, shared_.q, group_ * 64, shared_.k[k_ring_.stage]);
    ptx::wgmma_wait_group<0>();
    ptx::wgmma_fence_operand(score);
    release_keys();
    if (keys.tiles == 1) arrive_warp(shared_.q_empty, lane_);
    softmax.add(score, apply_rule(score, rule, p_.scale_log2, query, keys.first, lane_), rescale);
    pack_probabilities<T>(probability, score);

    for (int tile = 1; tile < keys.tiles; tile++) {
      wait_keys();
      wait_values();
      if (takes_turns) take_turn();
      start_scores<T, kKeys>(score, shared_.q, group_ * 64, shared_.k[k_ring_.stage]);
      start_values<T>(out, probability, shared_.v[v_ring_.stage], tile > 1);
      if (takes_turns) pass_turn();
      ptx::wgmma_wait_group<1>();
      ptx::wgmma_fence_operand(score);
      release_keys();
      if (tile + 1 == keys.tiles) arrive_warp(shared_.q_empty, lane_);
      const int key = keys.first + tile * kKeys;
      softmax.add(score, apply_rule(score, rule, p_.scale_log2, query, key, lane_), rescale);
      ptx::wgmma_wait_group<0>();
      ptx::wgmma_fence_operand(out);
      release_values();
      scale_rows(out, rescale);
      pack_probabilities<T>(probability, score);
    }

    wait_values();
    start_values<T>(out, probability, shared_.v[v_ring_.stage], keys.tiles > 1);
    ptx::wgmma_wait_group<0>();
    ptx::wgmma_fence_operand(out);
    release_values();
    store_rows<T, kHeadDim>(p_, item, out, softmax, query, lane_);
  }

  const AttentionParams<T>& p_;
  Storage& shared_;
  const int group_, lane_, lane_row_;
  RingPosition<Shape::kStages> k_ring_, v_ring_;
};

template <class T, class Shape>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    long_attention_kernel(const __grid_constant__ AttentionMaps maps, const AttentionParams<T> p) {
  using Storage = LongStorage<T, Shape>;
  SHARED_STORAGE(Storage, shared);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) {
    prefetch(maps);
    init(shared.q_full, 1);
    init(shared.q_empty, Shape::kConsumerWarps);
    for (int stage = 0; stage < Shape::kStages; stage++) {
      init(shared.k_full[stage], 1);
      init(shared.v_full[stage], 1);
      init(shared.k_empty[stage], Shape::kConsumerWarps);
      init(shared.v_empty[stage], Shape::kConsumerWarps);
    }
    ptx::fence_mbarrier_init();
  }
  wait_for_stream();
  __syncthreads();
  if (thread < 128) {
    ptx::setmaxnreg_dec<40>();
    if (thread == 0) produce(shared, maps, p);
  } else {
    ptx::setmaxnreg_inc<232>();
    Consumer<T, Shape>(p, shared, thread / 128 - 1, thread % 128).run();
  }
}

}  // namespace padless::cuda::sm90
