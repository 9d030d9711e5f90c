// An f32 vector that an engine could own.
#pragma once

#include <utility>
#include <vector>

#include "lib/engine/weights.h"

namespace padless::test {

class VectorTensor final : public DeviceTensor {
 public:
  explicit VectorTensor(std::vector<float> values) : values_(std::move(values)) {}
  Matrix view() const override {
    const int64_t cols = static_cast<int64_t>(values_.size());
    return {const_cast<float*>(values_.data()), DType::kF32, 1, cols, cols};
  }
  size_t bytes() const override { return values_.size() * sizeof(float); }
  const std::vector<float>& values() const { return values_; }

 private:
  std::vector<float> values_;
};

}  // namespace padless::test
