// Attention forward over packed sequences:  out = softmax(scale q k^T + bias) v, for one head and one tile of
// queries.
//
// A warp owns 16 queries; their scores and output stay in its registers. Keys and values arrive by cp.async
// in tiles of kKeys, two in a ring, with an online softmax over the tiles. A shape with one stage holds all
// keys of its sequences at once, and the softmax is one exact pass. Tiles past the sequence are not visited,
// and warps without a query only wait.
//
// Rows past the sequence belong to the next one: they are never read, but written as zeros to shared memory,
// because a probability of 0 times a neighbour's NaN is NaN. -inf is the mask; a row without any key gives
// zeros and an lse of -inf.
#pragma once

#include "cuda/padless_cuda.h"
#include "cuda/ptx/math.cuh"
#include "cuda/ptx/mma.cuh"
#include "cuda/tile/shared_tile.cuh"
#include "cuda/tile/vector.cuh"

namespace padless::cuda {

template <class T>
struct AttentionParams {
  const T *q, *k, *v;  // [T, ...]: head h of q starts at column h * head_dim
  T* out;              // [T, heads * head_dim]
  int64_t q_stride, k_stride, v_stride, out_stride;
  float* lse;  // [heads, lse_stride], or null
  int64_t lse_stride;
  const int32_t* cu_seqlens;
  const AttentionTile* tiles;  // work item i is tile i / heads, head i % heads
  int items;
  uint32_t* counter;          // of items fetched, or null: block i does item i
  int heads, queries_per_kv;  // query heads of a key head
  float scale_log2;           // scale * log2(e): the softmax is in base 2
  int left, right;            // key within [query - left, query + right]
  ScoreBias bias;
  bool aligned_out;
};

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

constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.69314718055994531f;

// What is added to a score (in base 2), and whether the key is seen at all.
struct ScoreRule {
  int length, left, right;
  float slope;            // 0: none
  const float* relative;  // of this head, or null
  int reach;

  DEVICE bool plain(int first_query, int last_query, int first_key, int last_key) const {
    const bool all_seen =
        last_key < length && last_query - first_key <= left && last_key - first_query <= right;
    return all_seen && slope == 0.0f && relative == nullptr;
  }
  DEVICE float apply(float score, int query, int key) const {
    if (key >= length || query - key > left || key - query > right) return -INFINITY;
    if (slope != 0.0f) score -= slope * static_cast<float>(key > query ? key - query : query - key);
    if (relative != nullptr) score += kLog2E * relative[min(max(key - query, -reach), reach) + reach];
    return score;
  }
};

template <class T, class Shape>
DEVICE void attend(const AttentionParams<T>& p, AttentionStorage<T, Shape>& shared, int item) {
  constexpr int kHeadDim = Shape::kHeadDim, kKeys = Shape::kKeys, kStages = Shape::kStages,
                kThreads = Shape::kThreads;
  // Head dim 256 has no registers left for the addresses of many fragments.
  [[maybe_unused]] constexpr int kStepUnroll = kHeadDim > 128 ? 1 : kHeadDim / 16;
  constexpr int kScoreTiles = kKeys / 8, kOutTiles = kHeadDim / 8;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp_row = thread / 32 * 16;
  const AttentionTile tile = p.tiles[item / p.heads];
  const int head = item % p.heads, kv_head = head / p.queries_per_kv, first_query = tile.first_query;
  const int64_t begin = p.cu_seqlens[tile.sequence];
  const int length = static_cast<int>(p.cu_seqlens[tile.sequence + 1] - begin);
  if (first_query >= length) return;  // the same for the whole block

  const int last_query = min(first_query + Shape::kQueries, length) - 1;
  const int first_key = kStages == 1 || first_query <= p.left ? 0 : (first_query - p.left) / kKeys * kKeys;
  const int key_end = last_query >= length - p.right ? length : min(length, last_query + p.right + 1);
  const int key_tiles = (key_end - first_key + kKeys - 1) / kKeys;
  const ScoreRule rule{length,
                       p.left,
                       p.right,
                       p.bias.alibi_slopes == nullptr ? 0.0f : kLog2E * p.bias.alibi_slopes[head],
                       p.bias.relative == nullptr
                           ? nullptr
                           : p.bias.relative + static_cast<int64_t>(head) * (2 * p.bias.reach + 1),
                       p.bias.reach};
  const T* k = p.k + begin * p.k_stride + kv_head * kHeadDim;
  const T* v = p.v + begin * p.v_stride + kv_head * kHeadDim;
  const auto fetch = [&](int index) {
    if (index < key_tiles) {
      const int64_t key = first_key + index * kKeys;
      const int left = length - static_cast<int>(key);
      copy_tile_async<kThreads>(shared.k[index % kStages], k + key * p.k_stride, p.k_stride, left, kHeadDim,
                                thread);
      copy_tile_async<kThreads>(shared.v[index % kStages], v + key * p.v_stride, p.v_stride, left, kHeadDim,
                                thread);
    }
    ptx::cp_async_commit_group();
  };
  copy_tile_async<kThreads>(shared.q, p.q + (begin + first_query) * p.q_stride + head * kHeadDim, p.q_stride,
                            length - first_query, kHeadDim, thread);
  fetch(0);

  REGS(float, out, [kOutTiles][4]);
  UNROLL
  for (int n = 0; n < kOutTiles; n++) {
    UNROLL
    for (int i = 0; i < 4; i++) out[n][i] = 0.0f;
  }
  float row_max[2] = {-INFINITY, -INFINITY}, row_sum[2] = {0.0f, 0.0f};  // of rows lane / 4 and lane / 4 + 8
  const int query = first_query + warp_row + lane / 4;
  const bool warp_has_rows = first_query + warp_row < length;

  for (int index = 0; index < key_tiles; index++) {
    ptx::cp_async_wait_group<0>();
    __syncthreads();  // this tile has arrived for all, and all have left the one that is filled next
    if (kStages > 1) fetch(index + 1);
    if (!warp_has_rows) continue;
    auto& keys = shared.k[index % kStages];
    auto& values = shared.v[index % kStages];
    const int tile_key = first_key + index * kKeys;

    REGS(float, score, [kScoreTiles][4]);
    UNROLL
    for (int n = 0; n < kScoreTiles; n++) {
      UNROLL
      for (int i = 0; i < 4; i++) score[n][i] = 0.0f;
    }
#pragma unroll kStepUnroll
    for (int d = 0; d < kHeadDim / 16; d++) {
      REGS(uint32_t, a, [4]);
      load_fragment_a(a, shared.q, warp_row, d * 2, lane);
      UNROLL
      for (int n = 0; n < kScoreTiles; n += 2) {
        uint32_t low[2], high[2];
        load_fragments_b(low, high, keys, n * 8, d * 2, lane);
        ptx::mma_m16n8k16<T>(score[n], a, low, score[n]);
        ptx::mma_m16n8k16<T>(score[n + 1], a, high, score[n + 1]);
      }
    }
    const bool plain =
        rule.plain(first_query + warp_row, first_query + warp_row + 15, tile_key, tile_key + kKeys - 1);
    UNROLL
    for (int n = 0; n < kScoreTiles; n++) {
      UNROLL
      for (int i = 0; i < 4; i++) {
        score[n][i] *= p.scale_log2;
        if (!plain)
          score[n][i] = rule.apply(score[n][i], query + i / 2 * 8, tile_key + n * 8 + lane % 4 * 2 + i % 2);
      }
    }
    UNROLL
    for (int r = 0; r < 2; r++) {
      float maximum = row_max[r];
      UNROLL
      for (int n = 0; n < kScoreTiles; n++)
        maximum = fmaxf(maximum, fmaxf(score[n][2 * r], score[n][2 * r + 1]));
      maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, 1));
      maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, 2));
      const float base = maximum == -INFINITY ? 0.0f : maximum;  // -inf - -inf is NaN
      const float rescale = ptx::ex2_approx(row_max[r] - base);
      row_max[r] = maximum;
      float sum = 0.0f;
      UNROLL
      for (int n = 0; n < kScoreTiles; n++) {
        UNROLL
        for (int i = 2 * r; i < 2 * r + 2; i++) {
          score[n][i] = ptx::ex2_approx(score[n][i] - base);
          sum += score[n][i];
        }
      }
      row_sum[r] = row_sum[r] * rescale + sum;
      UNROLL
      for (int n = 0; n < kOutTiles; n++) {
        out[n][2 * r] *= rescale;
        out[n][2 * r + 1] *= rescale;
      }
    }
    UNROLL
    for (int n = 0; n < kScoreTiles; n += 2) {  // the accumulators of 16 keys are an A fragment already
      const uint32_t a[4] = {ptx::cvt_rn_x2<T>(score[n][0], score[n][1]),
                             ptx::cvt_rn_x2<T>(score[n][2], score[n][3]),
                             ptx::cvt_rn_x2<T>(score[n + 1][0], score[n + 1][1]),
                             ptx::cvt_rn_x2<T>(score[n + 1][2], score[n + 1][3])};
      UNROLL
      for (int d = 0; d < kOutTiles; d += 2) {
        uint32_t low[2], high[2];
        load_fragments_b_transposed(low, high, values, n * 8, d, lane);
        ptx::mma_m16n8k16<T>(out[d], a, low, out[d]);
        ptx::mma_m16n8k16<T>(out[d + 1], a, high, out[d + 1]);
      }
    }
  }
  if (!warp_has_rows) return;

  // The output takes the place of this warp's queries, and leaves in 16-byte chunks of whole rows.
  __syncwarp();
  UNROLL
  for (int r = 0; r < 2; r++) {
    float sum = row_sum[r];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    const float inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
    UNROLL
    for (int n = 0; n < kOutTiles; n++) {
      T* chunk = shared.q.chunk(warp_row + lane / 4 + r * 8, n) + lane % 4 * 2;
      *reinterpret_cast<uint32_t*>(chunk) =
          ptx::cvt_rn_x2<T>(out[n][2 * r] * inverse, out[n][2 * r + 1] * inverse);
    }
    if (p.lse != nullptr && lane % 4 == 0 && query + r * 8 < length) {
      const float lse = sum == 0.0f ? -INFINITY : kLn2 * (row_max[r] + log2f(sum));
      p.lse[head * p.lse_stride + begin + query + r * 8] = lse;
    }
  }
  __syncwarp();
  for (int i = lane; i < 16 * kOutTiles; i += 32) {
    const int row = warp_row + i / kOutTiles, chunk = i % kOutTiles;
    if (first_query + row >= length) break;
    T* destination =
        p.out + (begin + first_query + row) * p.out_stride + head * kHeadDim + chunk * kVectorElements;
    const RawVector<T> raw = load_aligned(shared.q.chunk(row, chunk));
    float values[kVectorElements];
    if (p.aligned_out) {
      store_aligned(destination, raw);
    } else {
      unpack(values, raw);
      store_elements(destination, values, kVectorElements);
    }
  }
}

template <class T, class Shape>
__global__ void __launch_bounds__(Shape::kThreads) attention_kernel(const AttentionParams<T> p) {
  using Storage = AttentionStorage<T, Shape>;
  SHARED_STORAGE(Storage, shared);
  if (p.counter == nullptr) {
    attend<T, Shape>(p, shared, static_cast<int>(blockIdx.x));
    return;
  }
  // Every block fetches until it gets a number past the end, so items + gridDim.x numbers are drawn in all;
  // the counter wraps to 0 at the last of them and is ready for the next launch.
  while (true) {
    if (threadIdx.x == 0) shared.item = atomicInc(p.counter, static_cast<unsigned>(p.items) + gridDim.x - 1);
    __syncthreads();
    const int item = static_cast<int>(shared.item);
    if (item >= p.items) return;
    attend<T, Shape>(p, shared, item);
    ptx::cp_async_wait_group<0>();
    __syncthreads();  // all have left the tile and read the item
  }
}

}  // namespace padless::cuda
