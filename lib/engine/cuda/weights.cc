#include "lib/engine/cuda/weights.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "lib/core/convert.h"

namespace padless::cuda {
namespace {

/** Bytes that are converted while the block before is on its way. */
constexpr size_t kBlockBytes = size_t{4} << 20;

/** Elements from row to row: tensor cores want 16-byte aligned rows; other tensors are contiguous. */
int64_t aligned_stride(int64_t cols, DType dtype) {
  if (dtype_size(dtype) > 2) return cols;
  const auto per_16_bytes = static_cast<int64_t>(16 / dtype_size(dtype));
  return (cols + per_16_bytes - 1) / per_16_bytes * per_16_bytes;
}

}  // namespace

Result<DType> storage_of(ComputeType compute, const CudaDevice& device) {
  switch (compute) {
    case ComputeType::kF32:
      return DType::kF32;
    case ComputeType::kBF16:
      return DType::kBF16;
    case ComputeType::kF16:
      return DType::kF16;
    case ComputeType::kFp8: {
      const int capability = device.properties().compute_capability;
      PADLESS_CHECK(device.properties().runs_sm90a(), Code::kUnsupported, "dtype",
                    "fp8 needs a GPU of compute capability 9.0 (Hopper: H100, H200, GH200); ", device.name(),
                    " has ", capability / 10, ".", capability % 10, ", which computes in f32, bf16 and f16");
      return DType::kBF16;
    }
    case ComputeType::kI8:
      break;
  }
  return Status(Code::kUnsupported, "the CUDA engine computes in f32, bf16, f16 or fp8, not in int8",
                "dtype");
}

Result<std::unique_ptr<WeightUploader>> WeightUploader::create(const CudaContext& context) {
  Result<SharedStream> stream = create_stream(context.device);
  if (!stream.is_ok()) return stream.status();
  return std::make_unique<WeightUploader>(std::make_unique<CudaQueue>(context, stream.take()));
}

Result<std::shared_ptr<Buffer>> WeightUploader::upload(int64_t rows, size_t row_bytes, const Fill& fill) {
  const std::lock_guard lock(mutex_);
  const CudaContext& context = queue_->context();
  PADLESS_RETURN_IF_ERROR(context.device->enter());
  PADLESS_CHECK(row_bytes == 0 || static_cast<size_t>(rows) <= std::numeric_limits<size_t>::max() / row_bytes,
                Code::kInvalidArgument, "shape", "a weight of ", rows, " rows of ", row_bytes, " bytes");
  Result<std::unique_ptr<Buffer>> buffer = queue_->allocate(static_cast<size_t>(rows) * row_bytes);
  if (!buffer.is_ok()) return buffer.status();
  auto* to = static_cast<std::byte*>(buffer.value()->data());
  const auto step = static_cast<int64_t>(std::max<size_t>(1, kBlockBytes / std::max<size_t>(row_bytes, 1)));
  for (int64_t first = 0; first < rows; first += step) {
    const int64_t count = std::min(step, rows - first);
    const size_t bytes = static_cast<size_t>(count) * row_bytes;
    Result<PinnedBlock> block = context.pinned->take(bytes);
    if (!block.is_ok()) return block.status();
    fill(first, count, block.value().data());
    PADLESS_RETURN_IF_ERROR(queue_->upload(to + static_cast<size_t>(first) * row_bytes, block.take(), bytes));
  }
  PADLESS_RETURN_IF_ERROR(queue_->wait());
  return std::shared_ptr<Buffer>(buffer.take());
}

Result<WeightUploader::Codes> WeightUploader::quantize(const Matrix& from, int64_t stride) {
  const std::lock_guard lock(mutex_);
  CudaDevice& device = *queue_->context().device;
  PADLESS_RETURN_IF_ERROR(device.enter());
  Result<std::unique_ptr<Buffer>> data = queue_->allocate(static_cast<size_t>(from.rows * stride));
  if (!data.is_ok()) return data.status();
  Result<std::unique_ptr<Buffer>> scales = queue_->allocate(static_cast<size_t>(from.rows) * sizeof(float));
  if (!scales.is_ok()) return scales.status();
  Codes codes{data.take(), scales.take()};
  for (const void* used : {from.data, codes.data->data(), codes.scales->data()}) queue_->touch(used);
  QuantizeRowsArgs args;
  args.in = from;
  args.out = {codes.data->data(), DType::kE4M3, from.rows, from.cols, stride};
  args.scales = static_cast<float*>(codes.scales->data());
  PADLESS_RETURN_IF_ERROR(device.check(quantize_rows(args, device.properties(), queue_->get())));
  PADLESS_RETURN_IF_ERROR(queue_->wait());
  return codes;
}

Result<std::shared_ptr<const DeviceTensor>> upload_tensor(WeightUploader& uploader, const HostTensor& tensor,
                                                          DType dtype) {
  PADLESS_RETURN_IF_ERROR(check_upload(tensor, dtype));
  const int64_t rows = tensor.shape.size() == 2 ? tensor.shape[0] : 1;
  const int64_t cols = tensor.shape.back();
  const int64_t stride = aligned_stride(cols, dtype);
  const size_t from_bytes = static_cast<size_t>(cols) * dtype_size(tensor.dtype);
  const size_t to_bytes = static_cast<size_t>(stride) * dtype_size(dtype);
  auto buffer = uploader.upload(rows, to_bytes, [&](int64_t first, int64_t count, std::byte* to) {
    const auto* from = static_cast<const std::byte*>(tensor.data) + static_cast<size_t>(first) * from_bytes;
    for (int64_t row = 0; row < count; ++row, from += from_bytes, to += to_bytes)
      convert_elements(from, tensor.dtype, to, dtype, cols);
    const auto begin = static_cast<size_t>(first) * from_bytes;
    if (tensor.let_go) tensor.let_go(begin, begin + static_cast<size_t>(count) * from_bytes);
  });
  if (!buffer.is_ok()) return buffer.status();
  const Matrix view = {buffer.value()->data(), dtype, rows, cols, stride};
  return std::shared_ptr<const DeviceTensor>(std::make_shared<CudaTensor>(buffer.take(), view));
}

Result<std::shared_ptr<const LinearWeight>> upload_linear(WeightUploader& uploader,
                                                          const LinearSource& source) {
  PADLESS_RETURN_IF_ERROR(check_linear_source(source));
  Result<DType> storage = storage_of(source.compute, uploader.device());
  if (!storage.is_ok()) return storage.status();
  const bool as_codes = source.compute == ComputeType::kFp8;
  const DType dtype = as_codes ? DType::kF32 : storage.value();
  int64_t stacked = 0;
  bool has_bias = false;
  for (const LinearPart& part : source.parts) {
    stacked += part.weight.shape[0];
    has_bias = has_bias || part.bias.data != nullptr;
  }
  const int64_t out_features = source.glu ? stacked / 2 : stacked;
  const int64_t rows = source.glu ? (out_features + 7) / 8 * 16 : stacked;
  const int64_t cols = source.parts[0].weight.shape[1];
  const auto source_row = [&](int64_t row) {
    return source.row(source.glu ? glu_source_row(row, out_features) : row);
  };

  const int64_t stride = aligned_stride(cols, dtype);
  const size_t row_bytes = static_cast<size_t>(stride) * dtype_size(dtype);
  auto weight = uploader.upload(rows, row_bytes, [&](int64_t first, int64_t count, std::byte* to) {
    for (int64_t row = first; row < first + count; ++row, to += row_bytes) {
      const LinearRow from = source_row(row);
      if (from.part == nullptr) {
        std::memset(to, 0, row_bytes);
        continue;
      }
      const HostTensor& tensor = from.part->weight;
      const size_t offset = static_cast<size_t>(from.row * cols) * dtype_size(tensor.dtype);
      convert_elements(static_cast<const std::byte*>(tensor.data) + offset, tensor.dtype, to, dtype, cols);
    }
  });
  if (!weight.is_ok()) return weight.status();

  std::shared_ptr<Buffer> bias;
  if (has_bias) {
    auto uploaded = uploader.upload(rows, sizeof(float), [&](int64_t first, int64_t count, std::byte* to) {
      for (int64_t row = first; row < first + count; ++row, to += sizeof(float)) {
        const LinearRow from = source_row(row);
        float value = 0;
        if (from.part != nullptr && from.part->bias.data != nullptr)
          read_floats(from.part->bias, from.row, 1, &value);
        std::memcpy(to, &value, sizeof(value));
      }
    });
    if (!uploaded.is_ok()) return uploaded.status();
    bias = uploaded.take();
  }
  Matrix view = {weight.value()->data(), dtype, rows, cols, stride};
  WeightUploader::Codes kept{weight.take(), nullptr};
  if (as_codes) {
    const int64_t code_stride = aligned_stride(cols, DType::kE4M3);
    Result<WeightUploader::Codes> codes = uploader.quantize(view, code_stride);
    if (!codes.is_ok()) return codes.status();
    kept = codes.take();
    view = {kept.data->data(), DType::kE4M3, rows, cols, code_stride};
  }
  return std::shared_ptr<const LinearWeight>(std::make_shared<CudaLinearWeight>(
      out_features, source.glu, view, std::move(kept.data), std::move(kept.scales), std::move(bias)));
}

}  // namespace padless::cuda
