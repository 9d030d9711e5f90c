// Attention for what the tensor core kernels do not take: f32, any head dim up to 256, rows of any alignment,
// and every kind of bias.
//
// A warp owns a few queries, a lane one key of a tile of 32, so that a softmax step takes one reduction over
// the warp. Keys and values are staged in shared memory as f32, column by column of a row, and shared by the
// block's queries; nothing of the size of the scores leaves the warp. A query's tiles start at multiples
// of 32 of its own sequence: its bits depend on nothing but that sequence.
#include "cuda/attention/params.cuh"
#include "cuda/checks.h"
#include "cuda/tile/row.cuh"
#include "cuda/tile/stream_order.cuh"
#include "cuda/tile/token_range.cuh"

namespace padless::cuda {
namespace {

constexpr int kWarps = 4, kKeys = 32, kThreads = 32 * kWarps;

// Queries of a warp: their output stays in registers.
template <int kDim>
constexpr int kWarpRows = kDim > 128 ? 2 : 4;
template <int kDim>
constexpr int kBlockQueries = kWarps * kWarpRows<kDim>;

template <class T>
struct Params {
  const T *q, *k, *v;  // [T, ...]: head h of q starts at column h * head_dim
  T* out;              // [T, heads * head_dim]
  int64_t q_stride, k_stride, v_stride, out_stride;
  float* lse;  // [heads, lse_stride], or null
  int64_t lse_stride;
  const int32_t* cu_seqlens;
  int tokens;
  const int32_t* key_counts;   // [sequences], or null: every token is a key
  const AttentionTile* tiles;  // block x is tile x / heads, head x % heads; block y a part of its queries
  int heads, queries_per_kv, head_dim;
  float scale_log2;  // scale * log2(e): the softmax is in base 2
  int left, right;   // key within [query - left, query + right]
  ScoreBias bias;
  bool disentangled;
};

template <int kDim>
struct Storage {
  float q[kBlockQueries<kDim>][kDim];
  float k[kKeys][kDim + 1];  // the odd stride spreads a column over the banks
  float v[kKeys][kDim];
  float p[kBlockQueries<kDim>][kKeys];
};

// Rows of a head as f32; what is past `rows` and past the head dim becomes zero.
template <class T, int kCount, int kStride>
DEVICE void stage(float (&tile)[kCount][kStride], const T* source, int64_t stride, int rows, int head_dim,
                  int columns) {
  for (int i = static_cast<int>(threadIdx.x); i < kCount * columns; i += kThreads) {
    const int row = i / columns, column = i % columns;
    const bool inside = row < rows && column < head_dim;
    tile[row][column] = inside ? static_cast<float>(source[row * stride + column]) : 0.0f;
  }
}

// DeBERTa's c2p and p2c terms of one query and one key.
template <class T>
DEVICE float position_score(const Params<T>& p, const float* q, const float* k, int head, int distance) {
  const ScoreBias& bias = p.bias;
  const int clamped = min(max(distance, -bias.reach), bias.reach);
  const int64_t index = bias.relative_rows[clamped + bias.reach];
  const auto dot = [&](const Matrix& table, const float* vector) {
    if (table.data == nullptr) return 0.0f;
    const int64_t row = index < 0 ? 0 : index >= table.rows ? table.rows - 1 : index;
    const T* position = static_cast<const T*>(table.data) + row * table.stride + head * p.head_dim;
    float sum = 0.0f;
    for (int d = 0; d < p.head_dim; d++) sum += vector[d] * static_cast<float>(position[d]);
    return sum;
  };
  return dot(bias.position_keys, q) + dot(bias.position_queries, k);
}

// One block an SM is all that is asked for, as in attention_kernel.
template <class T, int kDim>
__global__ void __launch_bounds__(kThreads, 1) simt_attention_kernel(const Params<T> p) {
  constexpr int kRows = kWarpRows<kDim>, kQueries = kBlockQueries<kDim>;
  constexpr int kColumns = kDim / 32;  // of the output, a lane
  SHARED_STORAGE(Storage<kDim>, shared);
  wait_for_stream();
  const AttentionTile tile = p.tiles[static_cast<int>(blockIdx.x) / p.heads];
  const int head = static_cast<int>(blockIdx.x) % p.heads, kv_head = head / p.queries_per_kv;
  const TokenRange tokens = token_range(p.cu_seqlens, tile.sequence, p.tokens);
  const int64_t begin = tokens.begin;
  const int length = tokens.end - tokens.begin;
  const int first_query = tile.first_query + static_cast<int>(blockIdx.y) * kQueries;
  if (first_query >= length) return;  // the same for the whole block
  const int last_query = min(first_query + kQueries, length) - 1;
  const int first_key = first_query <= p.left ? 0 : (first_query - p.left) / kKeys * kKeys;
  const int keys = p.key_counts == nullptr ? length : min(p.key_counts[tile.sequence], length);
  const int key_end = last_query >= keys - p.right ? keys : min(keys, last_query + p.right + 1);
  const int lane = static_cast<int>(threadIdx.x) % 32, first_row = static_cast<int>(threadIdx.x) / 32 * kRows;
  const ScoreRule rule{keys,
                       p.left,
                       p.right,
                       p.bias.alibi_slopes == nullptr ? 0.0f : kLog2E * p.bias.alibi_slopes[head],
                       p.bias.relative == nullptr
                           ? nullptr
                           : p.bias.relative + static_cast<int64_t>(head) * (2 * p.bias.reach + 1),
                       p.bias.reach};

  stage(shared.q, p.q + (begin + first_query) * p.q_stride + head * p.head_dim, p.q_stride,
        length - first_query, p.head_dim, kDim);
  REGS(float, out, [kRows][kColumns]);
  REGS(float, row_max, [kRows]);
  REGS(float, row_sum, [kRows]);  // of this lane's keys
  UNROLL
  for (int r = 0; r < kRows; r++) {
    row_max[r] = -INFINITY;
    row_sum[r] = 0.0f;
    UNROLL
    for (int c = 0; c < kColumns; c++) out[r][c] = 0.0f;
  }

  for (int tile_key = first_key; tile_key < key_end; tile_key += kKeys) {
    __syncthreads();  // all have left the tile before
    const int64_t source = begin + tile_key;
    stage(shared.k, p.k + source * p.k_stride + kv_head * p.head_dim, p.k_stride, keys - tile_key, p.head_dim,
          kDim);
    stage(shared.v, p.v + source * p.v_stride + kv_head * p.head_dim, p.v_stride, keys - tile_key, p.head_dim,
          kDim);
    __syncthreads();

    REGS(float, score, [kRows]);
    UNROLL
    for (int r = 0; r < kRows; r++) score[r] = 0.0f;
    for (int d = 0; d < p.head_dim; d++) {
      const float key = shared.k[lane][d];
      UNROLL
      for (int r = 0; r < kRows; r++) score[r] += shared.q[first_row + r][d] * key;
    }
    UNROLL
    for (int r = 0; r < kRows; r++) {
      const int query = first_query + first_row + r, key = tile_key + lane;
      if (p.disentangled && key < keys)
        score[r] += position_score(p, shared.q[first_row + r], shared.k[lane], head, query - key);
      score[r] = rule.apply(score[r] * p.scale_log2, query, key);
      float maximum = fmaxf(row_max[r], score[r]);
      UNROLL
      for (int mask = 16; mask > 0; mask /= 2) maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, mask));
      const float base = maximum == -INFINITY ? 0.0f : maximum;  // -inf - -inf is NaN
      const float rescale = exp2f(row_max[r] - base), weight = exp2f(score[r] - base);
      row_max[r] = maximum;
      row_sum[r] = row_sum[r] * rescale + weight;
      shared.p[first_row + r][lane] = weight;
      UNROLL
      for (int c = 0; c < kColumns; c++) out[r][c] *= rescale;
    }
    __syncwarp();
    for (int key = 0; key < kKeys; key++) {
      UNROLL
      for (int c = 0; c < kColumns; c++) {
        const float value = shared.v[key][c * 32 + lane];
        UNROLL
        for (int r = 0; r < kRows; r++) out[r][c] += shared.p[first_row + r][key] * value;
      }
    }
  }

  UNROLL
  for (int r = 0; r < kRows; r++) {
    const float sum = warp_sum(row_sum[r]), inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
    const int query = first_query + first_row + r;
    if (query > last_query) continue;
    T* row = p.out + (begin + query) * p.out_stride + head * p.head_dim;
    UNROLL
    for (int c = 0; c < kColumns; c++) {
      if (c * 32 + lane < p.head_dim) row[c * 32 + lane] = static_cast<T>(out[r][c] * inverse);
    }
    if (p.lse != nullptr && lane == 0)
      p.lse[head * p.lse_stride + begin + query] = sum == 0.0f ? -INFINITY : kLn2 * (row_max[r] + log2f(sum));
  }
}

template <class T>
Params<T> params_of(const VarlenAttentionArgs& args) {
  const auto window = [](int64_t value) {
    constexpr int kUnlimited = std::numeric_limits<int32_t>::max();
    return value < 0 || value > kUnlimited ? kUnlimited : static_cast<int>(value);
  };
  Params<T> p{};
  p.q = elements<const T>(args.q);
  p.k = elements<const T>(args.k);
  p.v = elements<const T>(args.v);
  p.out = elements<T>(args.out);
  p.q_stride = args.q.stride;
  p.k_stride = args.k.stride;
  p.v_stride = args.v.stride;
  p.out_stride = args.out.stride;
  p.lse = args.lse;
  p.lse_stride = args.lse_stride;
  p.cu_seqlens = args.cu_seqlens;
  p.tokens = static_cast<int>(args.q.rows);
  p.key_counts = args.key_counts;
  p.heads = static_cast<int>(args.shape.heads);
  p.queries_per_kv = static_cast<int>(args.shape.heads / args.shape.kv_heads);
  p.head_dim = static_cast<int>(args.shape.head_dim);
  p.scale_log2 = args.scale * kLog2E;
  p.left = window(args.span.window_left);
  p.right = args.span.causal ? 0 : window(args.span.window_right);
  p.bias = args.bias;
  p.disentangled = args.bias.disentangled();
  return p;
}

template <class T, int kDim>
Status enqueue_dim(const VarlenAttentionArgs& args, const AttentionPlan& plan, const AttentionTile* tiles,
                   LaunchStream stream) {
  Params<T> params = params_of<T>(args);
  for (const AttentionGroup& group : plan.groups) {
    params.tiles = tiles + group.first_tile;
    PADLESS_RETURN_IF_ERROR(
        launch(simt_attention_kernel<T, kDim>,
               {.grid = {grid_of(group.tiles * args.shape.heads),
                         static_cast<unsigned>(divide_up(group.kernel.query_rows, kBlockQueries<kDim>))},
                .block = kThreads,
                .shared_bytes = sizeof(Storage<kDim>),
                .stream = stream},
               params));
  }
  return Status::ok();
}

Status check_table(const Matrix& table, const VarlenAttentionArgs& args, const char* name) {
  if (table.data == nullptr) return Status::ok();
  PADLESS_RETURN_IF_ERROR(check_matrix(table, table.rows, args.shape.heads * args.shape.head_dim, name));
  PADLESS_RETURN_IF_ERROR(check_dtype(table, args.q.dtype, name));
  PADLESS_CHECK(table.rows > 0 && args.bias.relative_rows != nullptr, Code::kInvalidArgument, name, name,
                " is empty, or its rows by distance are missing");
  return Status::ok();
}

Status check(const VarlenAttentionArgs& args, const AttentionPlan& plan, const AttentionTile* tiles) {
  const AttentionShape& shape = args.shape;
  const int64_t tokens = args.q.rows;
  PADLESS_CHECK(shape.heads > 0 && shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0,
                Code::kInvalidArgument, "kv_heads", shape.heads, " heads and ", shape.kv_heads,
                " key heads do not divide");
  PADLESS_CHECK(shape.head_dim > 0 && shape.head_dim <= kMaxAttentionHeadDim, Code::kUnsupported, "head_dim",
                "head dim ", shape.head_dim, "; at most ", kMaxAttentionHeadDim, " is supported");
  for (const auto& [matrix, heads, name] :
       {std::tuple{&args.q, shape.heads, "q"}, std::tuple{&args.k, shape.kv_heads, "k"},
        std::tuple{&args.v, shape.kv_heads, "v"}, std::tuple{&args.out, shape.heads, "out"}}) {
    PADLESS_RETURN_IF_ERROR(check_matrix(*matrix, tokens, heads * shape.head_dim, name));
    PADLESS_RETURN_IF_ERROR(check_dtype(*matrix, args.q.dtype, name));
  }
  PADLESS_CHECK(args.lse == nullptr || args.lse_stride >= tokens, Code::kInvalidArgument, "lse_stride",
                "lse_stride is ", args.lse_stride, ", less than the ", tokens, " tokens");
  PADLESS_CHECK(args.bias.reach >= 0, Code::kInvalidArgument, "reach", "reach is ", args.bias.reach);
  PADLESS_RETURN_IF_ERROR(check_table(args.bias.position_keys, args, "position_keys"));
  PADLESS_RETURN_IF_ERROR(check_table(args.bias.position_queries, args, "position_queries"));
  PADLESS_CHECK(plan.tiles.empty() || (args.cu_seqlens != nullptr && tiles != nullptr),
                Code::kInvalidArgument, "cu_seqlens",
                "cu_seqlens or the plan's tiles are missing on the device");
  for (const AttentionGroup& group : plan.groups)
    PADLESS_RETURN_IF_ERROR(check_grid(group.tiles * shape.heads, "plan"));
  return Status::ok();
}

}  // namespace

Status simt_attention(const VarlenAttentionArgs& args, const AttentionPlan& plan, const AttentionTile* tiles,
                      LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check(args, plan, tiles));
  return with_storage(args.q.dtype, [&]<class T>() {
    if (args.shape.head_dim <= 32) return enqueue_dim<T, 32>(args, plan, tiles, stream);
    if (args.shape.head_dim <= 64) return enqueue_dim<T, 64>(args, plan, tiles, stream);
    if (args.shape.head_dim <= 128) return enqueue_dim<T, 128>(args, plan, tiles, stream);
    return enqueue_dim<T, 256>(args, plan, tiles, stream);
  });
}

}  // namespace padless::cuda
