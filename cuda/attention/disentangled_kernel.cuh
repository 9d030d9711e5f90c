// Disentangled attention (DeBERTa, arXiv:2006.03654, equation 4) over packed sequences:
//   score(i, j) = scale * (q_i . k_j  +  q_i . pk[row(i - j)]  +  k_j . pq[row(i - j)])
// where row(d) picks a row of the projected relative position embeddings by a bucket of the distance d.
//
// No S x S bias exists. The queries and keys of a tile are at most kQueries + kKeys - 1 distances apart: the
// rows of these distances come to shared memory, slot s that of distance `lowest` + s. Products with them are
// taken on tensor cores in bands: 16 queries meet the kKeys + 15 distances to the tile's keys, 16 keys the
// kQueries + 15 distances to its queries. A score picks its two numbers from the diagonals of the bands.
#pragma once

#include "cuda/attention/warp_attention.cuh"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda {

template <class T>
struct DisentangledParams {
  AttentionParams<T> attention;
  const T *position_keys, *position_queries;  // [rows, heads * head_dim]; either may be null
  int64_t position_keys_stride, position_queries_stride;
  const int32_t* relative_rows;  // [2 * reach + 1]
  int reach, last_row;

  DEVICE int64_t row(int distance) const {
    return min(max(relative_rows[min(max(distance, -reach), reach) + reach], 0), last_row);
  }
};

template <int kHeadDim_, int kQueries_, int kKeys_>
struct DisentangledShape {
  static constexpr int kHeadDim = kHeadDim_, kQueries = kQueries_, kKeys = kKeys_;
  static constexpr int kWarps = kQueries / 16, kThreads = 32 * kWarps;
  static constexpr int kDistances = kQueries + kKeys;  // one more than there are
  static constexpr int kQueryBand = kKeys + 16, kKeyBand = kQueries + 16;
};

template <class T, class Shape>
struct DisentangledStorage {
  // Eight floats of padding: rows of a band that lanes write together start in different banks.
  static constexpr int kPadding = 8;
  SharedTile<T, Shape::kQueries, Shape::kHeadDim> q;
  SharedTile<T, Shape::kKeys, Shape::kHeadDim> k, v;
  SharedTile<T, Shape::kDistances, Shape::kHeadDim> position_keys, position_queries;
  float query_band[Shape::kQueries][Shape::kQueryBand + kPadding];
  float key_band[Shape::kKeys][Shape::kKeyBand + kPadding];
  uint32_t item;
};

// Starts the copy of the rows of the distances from `lowest` on; `table` starts at the head's columns.
template <class T, class Shape, class Tile>
DEVICE void copy_rows_of_distances(Tile& tile, const DisentangledParams<T>& p, const T* table, int64_t stride,
                                   int lowest, int thread) {
  constexpr int kCopies = Shape::kDistances * Tile::kChunks;
#pragma unroll 4
  for (int copy = thread; copy < kCopies; copy += Shape::kThreads) {
    const int slot = copy / Tile::kChunks, chunk = copy % Tile::kChunks;
    const T* from = table + p.row(lowest + slot) * stride + chunk * Tile::kChunkElements;
    ptx::cp_async_cg_16(tile.address(slot, chunk), from, sizeof(T) * Tile::kChunkElements);
  }
}

// band[0 .. 15][column .. + 8 * kTiles] = a[a_row ..] b[b_row ..]^T.
template <class T, int kTiles, int kColumns, class TileA, class TileB>
DEVICE void multiply_band(float (*band)[kColumns], int column, TileA& a_tile, int a_row, TileB& b_tile,
                          int b_row, int lane) {
  REGS(float, product, [kTiles][4]);
  multiply_rows<T>(product, a_tile, a_row, b_tile, b_row, lane);
  UNROLL
  for (int n = 0; n < kTiles; n++) {
    UNROLL
    for (int r = 0; r < 2; r++) {
      *reinterpret_cast<float2*>(&band[lane / 4 + r * 8][column + n * 8 + lane % 4 * 2]) =
          make_float2(product[n][2 * r], product[n][2 * r + 1]);
    }
  }
}

template <class T, class Shape>
DEVICE void attend_disentangled(const DisentangledParams<T>& params, DisentangledStorage<T, Shape>& shared,
                                int index) {
  constexpr int kHeadDim = Shape::kHeadDim, kQueries = Shape::kQueries, kKeys = Shape::kKeys;
  constexpr int kThreads = Shape::kThreads, kScoreTiles = kKeys / 8;
  const AttentionParams<T>& p = params.attention;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32,
            warp_row = warp * 16;
  const AttentionItem item = attention_item(p, index, kQueries);
  const int first_query = item.first_query, length = item.length;
  if (first_query >= length) return;  // the same for the whole block

  const auto keys = item.seen_keys(kQueries, kKeys, p.left, p.right);
  const ScoreRule rule = score_rule(p, item);
  const int head_column = item.head * kHeadDim, kv_column = item.kv_head * kHeadDim;
  const bool by_query = params.position_keys != nullptr, by_key = params.position_queries != nullptr;
  const auto fetch = [&](int key) {
    const int64_t first = item.begin + key;
    copy_tile_async<kThreads>(shared.k, p.k + first * p.k_stride + kv_column, p.k_stride, length - key,
                              kHeadDim, thread);
    copy_tile_async<kThreads>(shared.v, p.v + first * p.v_stride + kv_column, p.v_stride, length - key,
                              kHeadDim, thread);
    const int lowest = first_query - key - (kKeys - 1);
    if (by_query)
      copy_rows_of_distances<T, Shape>(shared.position_keys, params, params.position_keys + head_column,
                                       params.position_keys_stride, lowest, thread);
    if (by_key)
      copy_rows_of_distances<T, Shape>(shared.position_queries, params, params.position_queries + head_column,
                                       params.position_queries_stride, lowest, thread);
    ptx::cp_async_commit_group();
  };
  copy_tile_async<kThreads>(shared.q, p.q + (item.begin + first_query) * p.q_stride + head_column, p.q_stride,
                            length - first_query, kHeadDim, thread);

  WarpOutput<kHeadDim> out;
  out.clear();
  const int query = first_query + warp_row + lane / 4;
  const bool warp_has_rows = first_query + warp_row < length;

#pragma unroll 1
  for (int step = 0; step < keys.tiles; step++) {
    const int key = keys.first + step * kKeys;
    if (step > 0) __syncthreads();  // all have left the last tile
    fetch(key);
    ptx::cp_async_wait_group<0>();
    __syncthreads();

    if (by_key) {  // 16 keys and 16 distances at a time, by the warps in turn
      constexpr int kPieces = Shape::kKeyBand / 16;
      for (int piece = warp; piece < kKeys / 16 * kPieces; piece += Shape::kWarps) {
        const int key_row = piece / kPieces * 16, column = piece % kPieces * 16;
        multiply_band<T, 2>(&shared.key_band[key_row], column, shared.k, key_row, shared.position_queries,
                            kKeys - 16 - key_row + column, lane);
      }
    }
    if (by_query && warp_has_rows) {
      multiply_band<T, Shape::kQueryBand / 8>(&shared.query_band[warp_row], 0, shared.q, warp_row,
                                              shared.position_keys, warp_row, lane);
    }
    __syncthreads();
    if (!warp_has_rows) continue;

    REGS(float, score, [kScoreTiles][4]);
    multiply_rows<T>(score, shared.q, warp_row, shared.k, 0, lane);
    UNROLL
    for (int n = 0; n < kScoreTiles; n++) {
      UNROLL
      for (int i = 0; i < 4; i++) {
        const int row = lane / 4 + i / 2 * 8, column = n * 8 + lane % 4 * 2 + i % 2;
        if (by_query) score[n][i] += shared.query_band[warp_row + row][kKeys - 1 + row - column];
        if (by_key) score[n][i] += shared.key_band[column][warp_row + row + 15 - column % 16];
      }
    }
    apply_rule(score, rule, p.scale_log2, query, key, lane);
    online_softmax(score, out);
    add_values<T>(out, score, shared.v, lane);
  }
  if (warp_has_rows) store_output(p, item, out, shared.q, warp_row, lane);
}

// One block an SM is all that is asked for, as in attention_kernel.
template <class T, class Shape>
__global__ void __launch_bounds__(Shape::kThreads, 1) disentangled_kernel(const DisentangledParams<T> p) {
  using Storage = DisentangledStorage<T, Shape>;
  SHARED_STORAGE(Storage, shared);
  wait_for_stream();
  for_each_item(p.attention, shared.item, [&](int item) { attend_disentangled<T, Shape>(p, shared, item); });
}

}  // namespace padless::cuda
