#include "lib/engine/cuda/ops.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "lib/core/convert.h"

namespace padless::cuda {
namespace {

/** A copy of a small host array that lives until the work enqueued meanwhile is done. */
class DeviceArray {
 public:
  static Result<DeviceArray> create(CudaQueue& queue, std::span<const int32_t> host) {
    Result<std::unique_ptr<Buffer>> memory = queue.allocate(host.size_bytes());
    if (!memory.is_ok()) return memory.status();
    PADLESS_RETURN_IF_ERROR(queue.upload(memory.value()->data(), host.data(), host.size_bytes()));
    DeviceArray array;
    array.memory_ = memory.take();
    return array;
  }
  const int32_t* data() const { return static_cast<const int32_t*>(memory_->data()); }

 private:
  std::unique_ptr<Buffer> memory_;
};

/** Row indices[i] + offset must exist in a table of `rows` rows, for each i. */
Status check_indices(std::span<const int32_t> indices, int64_t offset, int64_t rows, const char* field) {
  for (size_t i = 0; i < indices.size(); ++i) {
    const int64_t row = indices[i] + offset;
    PADLESS_CHECK(row >= 0 && row < rows, Code::kInvalidArgument, field, field, "[", i, "] is ", indices[i],
                  "; with an offset of ", offset, " it must be a row of a table of ", rows);
  }
  return Status::ok();
}

Matrix touched(CudaQueue& queue, const DeviceTensor* tensor) {
  if (tensor == nullptr) return {};
  const Matrix view = tensor->view();
  queue.touch(view.data);
  return view;
}

Matrix touched(CudaQueue& queue, Matrix matrix, int64_t rows) {
  queue.touch(matrix.data);
  if (matrix.rows >= rows) matrix.rows = rows;
  return matrix;
}

/** The bias's tensors have the shapes that its comment says, and no gaps. */
Status check_bias(const AttentionBias& bias, int64_t heads) {
  constexpr int64_t kMaxReach = std::numeric_limits<int32_t>::max() / 4;
  PADLESS_CHECK(bias.reach >= 0 && bias.reach <= kMaxReach, Code::kInvalidArgument, "reach", "reach is ",
                bias.reach);
  const auto check = [](const DeviceTensor* tensor, DType dtype, int64_t rows, int64_t cols,
                        const char* name) -> Status {
    if (tensor == nullptr) return Status::ok();
    const Matrix view = tensor->view();
    PADLESS_CHECK(view.dtype == dtype && view.rows == rows && view.cols == cols &&
                      (view.rows <= 1 || view.stride == cols),
                  Code::kInvalidArgument, name, name, " is ", dtype_name(view.dtype), " [", view.rows, ", ",
                  view.cols, "]; needed is ", dtype_name(dtype), " [", rows, ", ", cols, "]");
    return Status::ok();
  };
  const int64_t distances = 2 * bias.reach + 1;
  PADLESS_RETURN_IF_ERROR(check(bias.alibi_slopes, DType::kF32, 1, heads, "alibi_slopes"));
  PADLESS_RETURN_IF_ERROR(check(bias.relative, DType::kF32, heads, distances, "relative"));
  return check(bias.relative_rows, DType::kI32, 1, distances, "relative_rows");
}

/** Whether tensor cores take the attention; all else is computed in f32 without them. */
bool has_tensor_kernel(const VarlenAttentionArgs& args) {
  const auto aligned = [](const Matrix& matrix) {
    return reinterpret_cast<uintptr_t>(matrix.data) % 16 == 0 &&
           matrix.stride * static_cast<int64_t>(dtype_size(matrix.dtype)) % 16 == 0;
  };
  return args.q.dtype != DType::kF32 && aligned(args.q) && aligned(args.k) && aligned(args.v) &&
         std::ranges::find(kAttentionHeadDims, args.shape.head_dim) != std::end(kAttentionHeadDims);
}

const float* floats(CudaQueue& queue, const DeviceTensor* tensor) {
  return static_cast<const float*>(touched(queue, tensor).data);
}

}  // namespace

Status run_embed(CudaQueue& queue, const CudaBatch& batch, const EmbedArgs& args) {
  PADLESS_CHECK(args.word != nullptr, Code::kInvalidArgument, "word", "embed needs a word table");
  const PackedBatch& host = batch.host();
  EmbedNormArgs native;
  native.word = touched(queue, args.word);
  native.word_scale = args.word_scale;
  native.position = touched(queue, args.position);
  native.token_type = touched(queue, args.token_type);
  PADLESS_RETURN_IF_ERROR(check_indices(host.ids, 0, native.word.rows, "ids"));
  if (args.position != nullptr) {
    PADLESS_RETURN_IF_ERROR(
        check_indices(host.positions, args.position_offset, native.position.rows, "positions"));
  }
  if (args.token_type != nullptr)
    PADLESS_RETURN_IF_ERROR(check_indices(host.token_types, 0, native.token_type.rows, "tokenTypes"));
  native.ids = batch.ids();
  native.positions = batch.positions();
  native.token_types = batch.token_types();
  native.position_offset = args.position_offset;
  native.kind = args.norm;
  native.gamma = floats(queue, args.gamma);
  native.beta = floats(queue, args.beta);
  native.eps = args.eps;
  native.out = touched(queue, args.out, batch.rows());
  native.rows_on_device = batch.tokens_on_device();
  queue.touch(batch.ids());
  return embed_norm(native, queue.launches());
}

Status run_attention(CudaQueue& queue, const CudaBatch& batch, const AttentionArgs& args) {
  const int64_t tokens = batch.rows();
  const AttentionShape& planned = batch.shape();
  PADLESS_CHECK(planned.heads == args.shape.heads && planned.kv_heads == args.shape.kv_heads &&
                    planned.head_dim == args.shape.head_dim,
                Code::kInvalidArgument, "shape", "the batch was prepared for another attention shape");
  VarlenAttentionArgs native;
  native.shape = args.shape;
  native.q = touched(queue, args.q, tokens);
  native.k = touched(queue, args.k, tokens);
  native.v = touched(queue, args.v, tokens);
  native.out = touched(queue, args.out, tokens);
  if (args.lse.data != nullptr) {
    PADLESS_CHECK(
        args.lse.dtype == DType::kF32 && args.lse.rows == args.shape.heads && args.lse.cols == tokens,
        Code::kInvalidArgument, "lse", "lse must be f32 [heads, tokens]");
    native.lse = static_cast<float*>(args.lse.data);
    native.lse_stride = args.lse.stride;
    queue.touch(args.lse.data);
  }
  native.cu_seqlens = batch.cu_seqlens();
  native.scale = args.scale;
  native.span = args.span;
  PADLESS_RETURN_IF_ERROR(check_bias(args.bias, args.shape.heads));
  PADLESS_RETURN_IF_ERROR(check_key_counts(batch.host(), args.bias));
  native.key_counts = batch.key_counts();
  native.bias.alibi_slopes = floats(queue, args.bias.alibi_slopes);
  native.bias.relative = floats(queue, args.bias.relative);
  native.bias.position_keys = touched(queue, args.bias.position_keys);
  native.bias.position_queries = touched(queue, args.bias.position_queries);
  native.bias.relative_rows = static_cast<const int32_t*>(touched(queue, args.bias.relative_rows).data);
  native.bias.reach = static_cast<int32_t>(args.bias.reach);
  queue.touch(batch.cu_seqlens());
  const AttentionPlan& plan = batch.plan();
  if (!has_tensor_kernel(native)) return simt_attention(native, plan, batch.tiles(), queue.launches());
  Result<AttentionStreams*> streams = queue.side_streams(plan.streams);
  if (!streams.is_ok()) return streams.status();
  const AttentionResources resources{
      .tiles = batch.tiles(), .counter = batch.attention_counter(), .streams = streams.value()};
  PADLESS_RETURN_IF_ERROR(varlen_attention(native, plan, resources, queue.launches()));
  if (plan.streams > 1) queue.joined();
  return Status::ok();
}

Status run_pool(CudaQueue& queue, const CudaBatch& batch, const PoolArgs& args) {
  const int64_t sequences = batch.host().sequences(), rows = batch.pooled_rows();
  PADLESS_CHECK(args.out.rows == rows, Code::kInvalidArgument, "out", "out has ", args.out.rows, " rows for ",
                rows, " sequences");
  PADLESS_CHECK(args.skip.empty() || static_cast<int64_t>(args.skip.size()) == sequences,
                Code::kInvalidArgument, "skip", "skip has ", args.skip.size(), " entries for ", sequences,
                " sequences");
  for (size_t b = 0; b < args.skip.size(); ++b) {
    PADLESS_CHECK(args.skip[b] >= 0, Code::kInvalidArgument, "skip", "skip[", b, "] is ", args.skip[b],
                  ", less than 0");
  }
  PoolRowsArgs native;
  native.mode = args.mode;
  native.in = touched(queue, args.in, batch.rows());
  native.out = touched(queue, args.out, rows);
  native.cu_seqlens = batch.cu_seqlens();
  queue.touch(batch.cu_seqlens());
  if (args.skip.empty()) return pool_rows(native, queue.launches());
  std::vector<int32_t> counts(args.skip.begin(), args.skip.end());
  counts.resize(static_cast<size_t>(rows));
  Result<DeviceArray> skip = DeviceArray::create(queue, counts);
  if (!skip.is_ok()) return skip.status();
  native.skip = skip.value().data();
  return pool_rows(native, queue.launches());
}

Status run_gather(CudaQueue& queue, const Matrix& in, std::span<const int32_t> indices, const Matrix& out) {
  for (size_t i = 0; i < indices.size(); ++i) {
    PADLESS_CHECK(indices[i] >= -1 && indices[i] < in.rows, Code::kInvalidArgument, "indices", "indices[", i,
                  "] is ", indices[i], "; there are ", in.rows, " rows");
  }
  Result<DeviceArray> rows = DeviceArray::create(queue, indices);
  if (!rows.is_ok()) return rows.status();
  GatherRowsArgs native;
  native.in = touched(queue, in, in.rows);
  native.out = touched(queue, out, static_cast<int64_t>(indices.size()));
  native.indices = rows.value().data();
  return cuda::gather_rows(native, queue.launches());
}

Status read_rows(CudaQueue& queue, const Matrix& matrix, float* out) {
  PADLESS_CHECK(is_float_dtype(matrix.dtype), Code::kInvalidArgument, "matrix", "a matrix of ",
                dtype_name(matrix.dtype), " has no float rows");
  const size_t bytes = static_cast<size_t>(matrix.rows * matrix.cols) * sizeof(float);
  const bool contiguous = matrix.stride == matrix.cols || matrix.rows <= 1;
  if (matrix.dtype == DType::kF32 && contiguous) return queue.download(out, matrix.data, bytes);
  Result<std::unique_ptr<Buffer>> memory = queue.allocate(bytes);
  if (!memory.is_ok()) return memory.status();
  const Matrix rows = {memory.value()->data(), DType::kF32, matrix.rows, matrix.cols, matrix.cols};
  queue.touch(matrix.data);
  queue.touch(rows.data);
  PADLESS_RETURN_IF_ERROR(cast_rows({matrix, rows}, queue.launches()));
  return queue.download(out, rows.data, bytes);
}

}  // namespace padless::cuda
