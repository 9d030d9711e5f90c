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

  struct Codes {
    std::shared_ptr<Buffer> data;    // e4m3 [rows, stride]
    std::shared_ptr<Buffer> scales;  // f32 [rows]
  };
  /** What quantize_rows() makes of `from`, which must live until this returns. */
  Result<Codes> quantize(const Matrix& from, int64_t stride);

  const CudaDevice& device() const { return *queue_->context().device; }

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
  /** `scales` and `bias` may be null. */
  CudaLinearWeight(int64_t out_features, bool glu, const Matrix& view, std::shared_ptr<Buffer> weight,
                   std::shared_ptr<Buffer> scales, std::shared_ptr<Buffer> bias)
      : out_features_(out_features),
        glu_(glu),
        view_(view),
        weight_(std::move(weight)),
        scales_(std::move(scales)),
        bias_(std::move(bias)) {}

  int64_t in_features() const override { return view_.cols; }
  int64_t out_features() const override { return out_features_; }
  size_t bytes() const override {
    return weight_->bytes() + (scales_ ? scales_->bytes() : 0) + (bias_ ? bias_->bytes() : 0);
  }

  bool glu() const { return glu_; }
  /** [rows of the product, in_features]; a GLU's gate and up rows are interleaved. */
  const Matrix& view() const { return view_; }
  /** f32, one for each row of view(), or null: of e4m3 alone. */
  const float* scales() const { return scales_ ? static_cast<const float*>(scales_->data()) : nullptr; }
  /** f32, one for each row of view(), or null. */
  const float* bias() const { return bias_ ? static_cast<const float*>(bias_->data()) : nullptr; }

 private:
  const int64_t out_features_;
  const bool glu_;
  const Matrix view_;
  const std::shared_ptr<Buffer> weight_;
  const std::shared_ptr<Buffer> scales_;
  const std::shared_ptr<Buffer> bias_;
};

/** What activations are kept in when products compute in `compute`, and weights, too, but for e4m3;
 * E_UNSUPPORTED where the device has no such products. */
Result<DType> storage_of(ComputeType compute, const CudaDevice& device);

Result<std::shared_ptr<const DeviceTensor>> upload_tensor(WeightUploader& uploader, const HostTensor& tensor,
                                                          DType dtype);
Result<std::shared_ptr<const LinearWeight>> upload_linear(WeightUploader& uploader,
                                                          const LinearSource& source);

}  // namespace padless::cuda
