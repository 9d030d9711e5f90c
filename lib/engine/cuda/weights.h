// Weights in the device's memory.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>

#include "lib/engine/cuda/stream.h"
#include "lib/engine/weights.h"

namespace padless::cuda {

/** Fills device memory from any thread, over a stream of its own. */
class WeightUploader {
 public:
  static Result<std::unique_ptr<WeightUploader>> create(const CudaContext& context);
  explicit WeightUploader(std::unique_ptr<CudaQueue> queue) : queue_(std::move(queue)) {}

  /** Writes rows [first, first + count) of what is uploaded into `to`. */
  using Fill = std::function<void(int64_t first, int64_t count, std::byte* to)>;
  /** Device memory of `rows` rows, filled when this returns. */
  Result<std::shared_ptr<Buffer>> upload(int64_t rows, size_t row_bytes, const Fill& fill);

 private:
  std::mutex mutex_;
  std::unique_ptr<CudaQueue> queue_;
};

class CudaTensor final : public DeviceTensor {
 public:
  CudaTensor(std::shared_ptr<Buffer> buffer, const Matrix& view) : buffer_(std::move(buffer)), view_(view) {}
  Matrix view() const override { return view_; }
  size_t bytes() const override { return buffer_->bytes(); }

 private:
  const std::shared_ptr<Buffer> buffer_;
  const Matrix view_;
};

class CudaLinearWeight final : public LinearWeight {
 public:
  CudaLinearWeight(int64_t out_features, bool glu, const Matrix& view, std::shared_ptr<Buffer> weight,
                   std::shared_ptr<Buffer> bias)
      : out_features_(out_features),
        glu_(glu),
        view_(view),
        weight_(std::move(weight)),
        bias_(std::move(bias)) {}

  int64_t in_features() const override { return view_.cols; }
  int64_t out_features() const override { return out_features_; }
  size_t bytes() const override { return weight_->bytes() + (bias_ ? bias_->bytes() : 0); }

  bool glu() const { return glu_; }
  /** [rows of the product, in_features]; a GLU's gate and up rows are interleaved. */
  const Matrix& view() const { return view_; }
  /** f32, one for each row of view(), or null. */
  const float* bias() const { return bias_ ? static_cast<const float*>(bias_->data()) : nullptr; }

 private:
  const int64_t out_features_;
  const bool glu_;
  const Matrix view_;
  const std::shared_ptr<Buffer> weight_;
  const std::shared_ptr<Buffer> bias_;
};

/** What products in `compute` keep weights and activations in; E_UNSUPPORTED for int8. */
Result<DType> storage_of(ComputeType compute);

Result<std::shared_ptr<const DeviceTensor>> upload_tensor(WeightUploader& uploader, const HostTensor& tensor,
                                                          DType dtype);
Result<std::shared_ptr<const LinearWeight>> upload_linear(WeightUploader& uploader,
                                                          const LinearSource& source);

}  // namespace padless::cuda
