// varlen_attention(): checks, then one launch a group of the plan.
#include "cuda/attention/enqueue.cuh"
#include "cuda/attention/enqueue_disentangled.cuh"
#include "cuda/attention/sm90/launch.h"
#include "cuda/padless_cuda.h"

namespace padless::cuda {
namespace {

constexpr int kUnlimited = std::numeric_limits<int32_t>::max();

int window(int64_t value) { return value < 0 || value > kUnlimited ? kUnlimited : static_cast<int>(value); }

/** Whether the group runs on the kernels for compute capability 9.0 that it is planned for. */
bool runs_on_sm90(const VarlenAttentionArgs& args, const AttentionGroup& group) {
  return group.kernel.sm90 && !args.bias.disentangled() && sm90::can_map(args);
}

/** Keys of the portable kernel for a group: one for any length takes the place of those of sm90. */
int portable_keys(const AttentionGroup& group) {
  return group.kernel.sm90 ? kAnyKeys : group.kernel.max_keys;
}

/** Blocks that one tile of queries is cut into. */
int parts_of(const VarlenAttentionArgs& args, const AttentionGroup& group) {
  const int rows = group.kernel.query_rows;
  if (args.bias.disentangled()) return rows / disentangled_queries(static_cast<int>(args.shape.head_dim));
  return runs_on_sm90(args, group) ? 1 : rows / query_rows(portable_keys(group));
}

Status check_disentangled(const VarlenAttentionArgs& args) {
  const ScoreBias& bias = args.bias;
  const int64_t rows = std::max(bias.position_keys.rows, bias.position_queries.rows);
  for (const auto& [matrix, name] : {std::pair{&bias.position_keys, "position_keys"},
                                     std::pair{&bias.position_queries, "position_queries"}}) {
    if (matrix->data == nullptr) continue;
    PADLESS_RETURN_IF_ERROR(check_matrix(*matrix, rows, args.shape.heads * args.shape.head_dim, name));
    PADLESS_RETURN_IF_ERROR(check_dtype(*matrix, args.q.dtype, name));
    PADLESS_CHECK(rows > 0, Code::kInvalidArgument, name, name, " is empty");
    PADLESS_CHECK(has_aligned_rows(*matrix), Code::kInvalidArgument, name, name,
                  " must have 16-byte aligned rows");
    PADLESS_CHECK(bias.relative_rows != nullptr, Code::kInvalidArgument, "relative_rows",
                  "the row of each distance is missing");
  }
  return Status::ok();
}

Status check(const VarlenAttentionArgs& args, const AttentionPlan& plan,
             const AttentionResources& resources) {
  const AttentionShape& shape = args.shape;
  const int64_t tokens = args.q.rows;
  PADLESS_CHECK(shape.heads > 0 && shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0,
                Code::kInvalidArgument, "kv_heads", shape.heads, " heads and ", shape.kv_heads,
                " key heads do not divide");
  PADLESS_CHECK(std::ranges::find(kAttentionHeadDims, shape.head_dim) != std::end(kAttentionHeadDims),
                Code::kUnsupported, "head_dim", "head dim ", shape.head_dim,
                "; supported: 32, 64, 96, 128, 256");
  const int64_t width = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim;
  PADLESS_RETURN_IF_ERROR(check_matrix(args.q, tokens, width, "q"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.k, tokens, kv_width, "k"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.v, tokens, kv_width, "v"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.out, tokens, width, "out"));
  PADLESS_CHECK(args.q.dtype == DType::kBF16 || args.q.dtype == DType::kF16, Code::kUnsupported, "q",
                "attention in ", dtype_name(args.q.dtype), "; supported: bf16, f16");
  PADLESS_RETURN_IF_ERROR(check_dtype(args.k, args.q.dtype, "k"));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.v, args.q.dtype, "v"));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.out, args.q.dtype, "out"));
  PADLESS_CHECK(has_aligned_rows(args.q) && has_aligned_rows(args.k) && has_aligned_rows(args.v),
                Code::kInvalidArgument, "q", "q, k and v must have 16-byte aligned rows");
  PADLESS_CHECK(args.lse == nullptr || args.lse_stride >= tokens, Code::kInvalidArgument, "lse_stride",
                "lse_stride is ", args.lse_stride, ", less than the ", tokens, " tokens");
  PADLESS_CHECK(args.bias.reach >= 0 && args.bias.reach < kUnlimited / 2, Code::kInvalidArgument, "reach",
                "reach is ", args.bias.reach);
  PADLESS_RETURN_IF_ERROR(check_disentangled(args));
  if (plan.tiles.empty()) return Status::ok();
  PADLESS_CHECK(args.cu_seqlens != nullptr && resources.tiles != nullptr, Code::kInvalidArgument,
                "cu_seqlens", "cu_seqlens or the plan's tiles are missing on the device");
  PADLESS_CHECK(plan.strategy != AttentionStrategy::kPersistent || resources.counter != nullptr,
                Code::kInvalidArgument, "counter", "a persistent plan needs a counter");
  PADLESS_CHECK(resources.streams == nullptr || resources.streams->count() >= plan.streams,
                Code::kInvalidArgument, "streams", "the plan forks over ", plan.streams, " streams");
  for (const AttentionGroup& group : plan.groups) {
    PADLESS_CHECK(group.tiles * shape.heads * parts_of(args, group) <= kUnlimited - kUnlimited / 4,
                  Code::kUnsupported, "plan", group.tiles, " tiles of ", shape.heads,
                  " heads are too many for one launch");
  }
  return Status::ok();
}

template <class T>
AttentionParams<T> params_of(const VarlenAttentionArgs& args) {
  AttentionParams<T> p{};
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
  p.scale_log2 = args.scale * kLog2E;
  p.left = window(args.span.window_left);
  p.right = args.span.causal ? 0 : window(args.span.window_right);
  p.alibi_slopes = args.bias.alibi_slopes;
  p.relative = args.bias.relative;
  p.reach = args.bias.reach;
  p.aligned_out = has_aligned_rows(args.out);
  return p;
}

template <class T>
Status enqueue_portable(const AttentionParams<T>& params, const VarlenAttentionArgs& args, int max_keys,
                        unsigned blocks, LaunchStream stream) {
  const ScoreBias& bias = args.bias;
  if (!bias.disentangled()) {
    return enqueue_attention<T>(params, args.shape.head_dim, max_keys, blocks, stream);
  }
  const int64_t rows = std::max(bias.position_keys.rows, bias.position_queries.rows);
  const DisentangledParams<T> disentangled{params,
                                           elements<const T>(bias.position_keys),
                                           elements<const T>(bias.position_queries),
                                           bias.position_keys.stride,
                                           bias.position_queries.stride,
                                           bias.relative_rows,
                                           bias.reach,
                                           static_cast<int>(rows) - 1};
  return enqueue_disentangled<T>(disentangled, args.shape.head_dim, blocks, stream);
}

template <class T>
Status enqueue_groups(const VarlenAttentionArgs& args, const AttentionPlan& plan,
                      const AttentionResources& resources, LaunchStream stream) {
  AttentionParams<T> params = params_of<T>(args);
  sm90::AttentionMaps maps;
  if (std::ranges::any_of(plan.groups, [&](const auto& group) { return runs_on_sm90(args, group); }))
    PADLESS_RETURN_IF_ERROR(sm90::make_maps<T>(maps, args));
  const bool fork = resources.streams != nullptr && plan.streams > 1;
  if (fork) PADLESS_RETURN_IF_ERROR(resources.streams->fork(stream.stream));
  const auto enqueue_each = [&]() -> Status {
    for (const AttentionGroup& group : plan.groups) {
      params.tiles = resources.tiles + group.first_tile;
      params.parts = parts_of(args, group);
      params.items = static_cast<int>(group.tiles * params.parts * args.shape.heads);
      const bool on_sm90 = runs_on_sm90(args, group);
      int blocks = on_sm90 ? std::min(params.items, std::max(1, group.blocks)) : params.items;
      if (plan.strategy == AttentionStrategy::kPersistent) {
        params.counter = resources.counter;
        blocks = std::min(blocks, std::max(1, plan.persistent_blocks));
      }
      const LaunchStream target = fork && group.stream != 0
                                      ? LaunchStream(resources.streams->stream(stream.stream, group.stream))
                                      : stream;
      PADLESS_RETURN_IF_ERROR(
          on_sm90 ? sm90::enqueue_attention<T>(maps, params, args.shape.head_dim, group.kernel.max_keys,
                                               grid_of(blocks), target)
                  : enqueue_portable<T>(params, args, portable_keys(group), grid_of(blocks), target));
    }
    return Status::ok();
  };
  const Status status = enqueue_each();
  if (fork)
    PADLESS_RETURN_IF_ERROR(
        resources.streams->join(stream.stream));  // also after an error: nothing is left forked
  return status;
}

}  // namespace

Status varlen_attention(const VarlenAttentionArgs& args, const AttentionPlan& plan,
                        const AttentionResources& resources, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check(args, plan, resources));
  if (args.q.dtype == DType::kBF16) return enqueue_groups<bf16>(args, plan, resources, stream);
  return enqueue_groups<fp16>(args, plan, resources, stream);
}

}  // namespace padless::cuda
