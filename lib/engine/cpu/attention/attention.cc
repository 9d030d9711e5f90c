#include "lib/engine/cpu/attention/attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <span>

#include "lib/core/thread_pool.h"
#include "lib/engine/cpu/attention/kernel.h"
#include "lib/engine/cpu/checks.h"
#include "lib/engine/cpu/memory.h"

namespace padless {
namespace {

const AttentionKernels& kernels_for(const CpuIsa& isa, const AttentionArgs& args) {
  // int8 models round more than bf16 does anyway. Disentangled products stay fp32.
  const bool rounds = args.compute != ComputeType::kF32 && !args.bias.relative_rows;
#if defined(__x86_64__)
  if (has_level(isa, IsaLevel::kAvx512)) {
    if (rounds && isa.amx_bf16) return avx512::attention_amx_kernels;
    return rounds && isa.prefers_bf16_dots() ? avx512::attention_bf16_kernels : avx512::attention_kernels;
  }
  if (isa.level == IsaLevel::kAvx2) return avx2::attention_kernels;
#elif defined(__aarch64__)
  if (isa.level == IsaLevel::kNeon) return neon::attention_kernels;
#endif
  (void)isa;
  (void)rounds;
  return portable::attention_kernels;
}

/** Scratch memory of the calling thread, kept for the next call; null if the system has no more. */
float* thread_scratch(int64_t floats) {
  thread_local AlignedBlock block;
  thread_local int64_t capacity = 0;
  if (floats <= capacity) return static_cast<float*>(block.data());
  capacity = 0;
  Result<AlignedBlock> larger = AlignedBlock::allocate(static_cast<size_t>(floats) * sizeof(float));
  if (!larger.is_ok()) return nullptr;
  block = larger.take();
  capacity = floats;
  return static_cast<float*>(block.data());
}

/** E_INVALID_ARGUMENT naming `field` unless `tensor` is [rows, cols] of `dtype`. */
Status check_tensor(const DeviceTensor& tensor, DType dtype, int64_t rows, int64_t cols, const char* field) {
  const Matrix view = tensor.view();
  PADLESS_CHECK(view.dtype == dtype, Code::kInvalidArgument, field, field, " is ", dtype_name(view.dtype),
                "; it must be ", dtype_name(dtype));
  PADLESS_CHECK(view.rows == rows && view.cols == cols, Code::kInvalidArgument, field, field, " is [",
                view.rows, ", ", view.cols, "]; it must be [", rows, ", ", cols, "]");
  return Status::ok();
}

Status check_disentangled(const AttentionBias& bias, const AttentionShape& shape) {
  PADLESS_CHECK(bias.position_keys || bias.position_queries, Code::kInvalidArgument, "relativeRows",
                "relativeRows needs positionKeys or positionQueries, the rows it picks from");
  PADLESS_CHECK(bias.relative_rows, Code::kInvalidArgument, "relativeRows",
                "positionKeys and positionQueries need relativeRows, the row of each distance");
  const int64_t distances = 2 * bias.reach + 1;
  PADLESS_RETURN_IF_ERROR(check_tensor(*bias.relative_rows, DType::kI32, 1, distances, "relativeRows"));
  const int64_t rows = (bias.position_keys ? bias.position_keys : bias.position_queries)->view().rows;
  const int64_t cols = shape.heads * shape.head_dim;
  if (bias.position_keys) {
    PADLESS_RETURN_IF_ERROR(check_tensor(*bias.position_keys, DType::kF32, rows, cols, "positionKeys"));
  }
  if (bias.position_queries) {
    PADLESS_RETURN_IF_ERROR(check_tensor(*bias.position_queries, DType::kF32, rows, cols, "positionQueries"));
  }
  const std::span row_of(bias.relative_rows->view().row<const int32_t>(0), static_cast<size_t>(distances));
  PADLESS_CHECK(std::is_sorted(row_of.begin(), row_of.end()) && row_of.front() >= 0 && row_of.back() < rows,
                Code::kInvalidArgument, "relativeRows", "relativeRows must never fall and lie within the ",
                rows, " rows of the position tensors");
  return Status::ok();
}

Status check_bias(const AttentionBias& bias, const AttentionShape& shape) {
  const bool disentangled = bias.position_keys || bias.position_queries || bias.relative_rows;
  const int kinds = (bias.alibi_slopes ? 1 : 0) + (bias.relative ? 1 : 0) + (disentangled ? 1 : 0);
  PADLESS_CHECK(kinds <= 1, Code::kInvalidArgument, "bias", "attention takes one kind of bias, not ", kinds,
                ": ALiBi slopes, a relative table or disentangled positions");
  PADLESS_CHECK(bias.reach >= 0, Code::kInvalidArgument, "reach", "reach is ", bias.reach,
                "; it is the greatest distance of a bias table, at least 0");
  if (bias.alibi_slopes) return check_tensor(*bias.alibi_slopes, DType::kF32, 1, shape.heads, "alibiSlopes");
  if (bias.relative) {
    return check_tensor(*bias.relative, DType::kF32, shape.heads, 2 * bias.reach + 1, "relative");
  }
  return disentangled ? check_disentangled(bias, shape) : Status::ok();
}

Status check(const AttentionKernels& kernels, const AttentionPlan& plan, const PackedBatch& batch,
             const AttentionArgs& args) {
  PADLESS_RETURN_IF_ERROR(check_attention_shape(args.shape));
  PADLESS_CHECK(args.shape.heads == plan.shape.heads && args.shape.kv_heads == plan.shape.kv_heads &&
                    args.shape.head_dim == plan.shape.head_dim,
                Code::kInvalidArgument, "shape", "attention of ", args.shape.heads, " heads, ",
                args.shape.kv_heads, " KV heads of ", args.shape.head_dim,
                " does not match the batch, which was prepared for ", plan.shape.heads, ", ",
                plan.shape.kv_heads, " of ", plan.shape.head_dim);
  const int64_t tokens = batch.tokens();
  const int64_t query_cols = args.shape.heads * args.shape.head_dim;
  const int64_t key_cols = args.shape.kv_heads * args.shape.head_dim;
  const auto dtype_like = [&](const Matrix& matrix) {
    return kernels.takes_bf16 && matrix.dtype == DType::kBF16 ? DType::kBF16 : DType::kF32;
  };
  const DType dtype = dtype_like(args.q);
  PADLESS_RETURN_IF_ERROR(check_matrix(args.q, tokens, query_cols, "q", dtype));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.k, tokens, key_cols, "k", dtype));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.v, tokens, key_cols, "v", dtype));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.out, tokens, query_cols, "out", dtype_like(args.out)));
  if (args.lse.data != nullptr)
    PADLESS_RETURN_IF_ERROR(check_matrix(args.lse, args.shape.heads, tokens, "lse"));
  PADLESS_RETURN_IF_ERROR(check_bias(args.bias, args.shape));
  PADLESS_RETURN_IF_ERROR(check_key_counts(batch, args.bias));
  PADLESS_CHECK(std::isfinite(args.scale), Code::kInvalidArgument, "scale", "scale is not a finite number");
  PADLESS_CHECK(args.span.window_left >= -1, Code::kInvalidArgument, "windowLeft", "windowLeft is ",
                args.span.window_left, "; it is a number of keys, or -1 for no limit");
  PADLESS_CHECK(args.span.window_right >= -1, Code::kInvalidArgument, "windowRight", "windowRight is ",
                args.span.window_right, "; it is a number of keys, or -1 for no limit");
  return Status::ok();
}

/** The part of `bias` that belongs to the query heads [first_head, ...) of one KV head. */
AttentionHeadBias bias_of(const AttentionBias& bias, int64_t first_head, int64_t head_dim) {
  AttentionHeadBias head;
  head.reach = bias.reach;
  if (bias.alibi_slopes) head.alibi_slopes = bias.alibi_slopes->view().row<const float>(0) + first_head;
  if (bias.relative) {
    const Matrix table = bias.relative->view();
    head.relative = table.row<const float>(first_head);
    head.relative_stride = table.stride;
  }
  if (bias.position_keys) {
    const Matrix keys = bias.position_keys->view();
    head.position_keys = keys.row<const float>(0) + first_head * head_dim;
    head.position_keys_stride = keys.stride;
  }
  if (bias.position_queries) {
    const Matrix queries = bias.position_queries->view();
    head.position_queries = queries.row<const float>(0) + first_head * head_dim;
    head.position_queries_stride = queries.stride;
  }
  if (bias.relative_rows) head.relative_rows = bias.relative_rows->view().row<const int32_t>(0);
  return head;
}

const char* row_bytes(const Matrix& matrix, int64_t row) {
  return static_cast<const char*>(matrix.data) +
         row * matrix.stride * static_cast<int64_t>(dtype_size(matrix.dtype));
}

/** The part of `args` that is KV head `kv_head` of the sequence whose tokens are [begin, begin + length). */
AttentionHead head_of(const AttentionArgs& args, int64_t begin, int64_t length, int64_t kv_head) {
  const int64_t dim = args.shape.head_dim;
  const int64_t group = args.shape.heads / args.shape.kv_heads;
  AttentionHead head;
  head.q = row_bytes(args.q.columns(kv_head * group * dim, group * dim), begin);
  head.k = row_bytes(args.k.columns(kv_head * dim, dim), begin);
  head.v = row_bytes(args.v.columns(kv_head * dim, dim), begin);
  head.bf16 = args.q.dtype == DType::kBF16;
  head.out = const_cast<char*>(row_bytes(args.out.columns(kv_head * group * dim, group * dim), begin));
  head.bf16_out = args.out.dtype == DType::kBF16;
  if (args.lse.data != nullptr) head.lse = args.lse.row<float>(kv_head * group) + begin;
  head.q_stride = args.q.stride;
  head.k_stride = args.k.stride;
  head.v_stride = args.v.stride;
  head.out_stride = args.out.stride;
  head.lse_stride = args.lse.stride;
  head.length = length;
  head.group = group;
  head.head_dim = dim;
  head.scale = args.scale;
  head.bias = bias_of(args.bias, kv_head * group, dim);
  const AttentionSpan& span = args.span;
  head.window_left = span.window_left < 0 ? length : std::min(span.window_left, length);
  head.window_right = span.window_right < 0 ? length : std::min(span.window_right, length);
  if (span.causal) head.window_right = 0;
  return head;
}

/** Rows [first, last) of q, k and v, whole: the heads that need them come one after another. */
AttentionFetch fetch_of(const AttentionArgs& args, int64_t first, int64_t last) {
  AttentionFetch fetch;
  const Matrix* const matrices[] = {&args.q, &args.k, &args.v};
  for (int i = 0; i < 3; ++i) {
    const Matrix& matrix = *matrices[i];
    const auto size = static_cast<int64_t>(dtype_size(matrix.dtype));
    fetch.from[i] = row_bytes(matrix, first);
    fetch.stride[i] = matrix.stride * size;
    fetch.bytes[i] = matrix.cols * size;
  }
  fetch.rows = last - first;
  return fetch;
}

/**
 * Runs a task's heads one after another. Heads of a short sequence jump from row to row before the hardware
 * sees a pattern, so each head also fetches its share of the next sequence, in the order of memory.
 */
void run_task(const AttentionKernels& kernels, const AttentionTask& task, const PackedBatch& batch,
              const AttentionArgs& args, float* scratch) {
  const int64_t heads = task.last_head - task.first_head;
  for (int32_t b = task.first_sequence; b < task.last_sequence; ++b) {
    const int64_t begin = batch.cu_seqlens[b];
    const int64_t end = batch.cu_seqlens[b + 1];
    if (begin == end) continue;
    const int64_t ahead = b + 1 < task.last_sequence ? batch.cu_seqlens[b + 2] - end : 0;
    for (int64_t i = 0; i < heads; ++i) {
      const int64_t first = end + ahead * i / heads;
      const int64_t last = end + ahead * (i + 1) / heads;
      AttentionHead head = head_of(args, begin, end - begin, task.first_head + i);
      head.fetch = fetch_of(args, first, last);
      if (!batch.key_counts.empty()) head.length = batch.key_counts[b];
      head.first_query = task.first_query;
      head.last_query = std::min<int64_t>(task.last_query, end - begin);
      kernels.run(head, scratch);
    }
  }
}

}  // namespace

Status check_attention_shape(const AttentionShape& shape) {
  PADLESS_CHECK(shape.heads > 0, Code::kInvalidArgument, "heads", "there must be at least 1 head, not ",
                shape.heads);
  PADLESS_CHECK(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0, Code::kInvalidArgument, "kvHeads",
                shape.heads, " heads cannot share ", shape.kv_heads, " KV heads evenly");
  PADLESS_CHECK(shape.head_dim > 0, Code::kInvalidArgument, "headDim",
                "a head must have at least 1 column, not ", shape.head_dim);
  return Status::ok();
}

bool attention_takes_bf16_cpu(const CpuIsa& isa, ComputeType compute) {
  AttentionArgs args;
  args.compute = compute;
  return kernels_for(isa, args).takes_bf16;
}

Status attention_cpu(const CpuContext& context, const AttentionPlan& plan, const PackedBatch& batch,
                     const AttentionArgs& args) {
  return attention_with(kernels_for(context.isa, args), context, plan, batch, args);
}

Status attention_with(const AttentionKernels& kernels, const CpuContext& context, const AttentionPlan& plan,
                      const PackedBatch& batch, const AttentionArgs& args) {
  PADLESS_RETURN_IF_ERROR(check(kernels, plan, batch, args));
  const auto tasks = static_cast<int64_t>(plan.tasks.size());
  if (tasks == 0) return Status::ok();
  const int64_t floats = kernels.scratch_floats(bias_of(args.bias, 0, args.shape.head_dim),
                                                args.shape.head_dim, max_length(batch.cu_seqlens));

  std::atomic<int64_t> next = 0;
  std::atomic<bool> out_of_memory = false;
  const int threads = static_cast<int>(std::min<int64_t>(std::max(context.threads, 1), tasks));
  ThreadPool::shared().run(threads, [&](int, int) {
    float* const scratch = thread_scratch(floats);
    if (scratch == nullptr) {
      out_of_memory = true;
      return;
    }
    if (kernels.enter) kernels.enter();
    for (int64_t i = next++; i < tasks; i = next++) run_task(kernels, plan.tasks[i], batch, args, scratch);
    if (kernels.leave) kernels.leave();
  });
  PADLESS_CHECK(!out_of_memory, Code::kOutOfMemory, "", "no memory for ", floats * sizeof(float),
                " bytes of attention scratch a thread");
  return Status::ok();
}

}  // namespace padless
