// What kernel tests share: matrices with guarded gaps, and FlashAttention's error rule.
#pragma once

#include <algorithm>
#include <limits>

#include "cuda/padless_cuda.h"
#include "cuda/platform.cuh"
#include "cuda/tests/support.h"

namespace padless::cuda::test {

template <class T>
constexpr DType dtype_of = std::is_same_v<T, bf16>   ? DType::kBF16
                           : std::is_same_v<T, fp16> ? DType::kF16
                           : std::is_same_v<T, e4m3> ? DType::kE4M3
                                                     : DType::kF32;

// The value as T stores it.
template <class T>
double rounded(double value) {
  return static_cast<double>(static_cast<float>(static_cast<T>(static_cast<float>(value))));
}

// A [rows, cols] matrix on the device whose gaps between rows, spare rows past the end and lead before the
// first row hold NaN: reading one shows in the result, writing one in gaps_untouched().
template <class T>
class TestMatrix {
 public:
  TestMatrix(int64_t rows, int64_t cols, int64_t gap = 0, int64_t lead = 0, int64_t spare_rows = 0)
      : rows_(rows),
        cols_(cols),
        stride_(cols + gap),
        lead_(lead),
        buffer_(static_cast<size_t>(lead + (rows + spare_rows) * stride_)) {
    host_.assign(buffer_.size(), nan());
    buffer_.upload(host_);
  }
  static T nan() { return static_cast<T>(std::numeric_limits<float>::quiet_NaN()); }

  void fill(Random& random, float low = -1, float high = 1) {
    for (int64_t r = 0; r < rows_; r++) {
      for (int64_t c = 0; c < cols_; c++) at(r, c) = static_cast<T>(random.uniform(low, high));
    }
    upload();
  }
  T& at(int64_t row, int64_t col) { return host_[static_cast<size_t>(lead_ + row * stride_ + col)]; }
  double value(int64_t row, int64_t col) { return static_cast<double>(static_cast<float>(at(row, col))); }
  /** All values, row by row, without the gaps. */
  std::vector<double> values() {
    std::vector<double> all;
    for (int64_t r = 0; r < rows_; r++) {
      for (int64_t c = 0; c < cols_; c++) all.push_back(value(r, c));
    }
    return all;
  }
  void upload() { buffer_.upload(host_); }
  void download() { host_ = buffer_.download(); }
  Matrix view() const { return {buffer_.data() + lead_, dtype_of<T>, rows_, cols_, stride_}; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }

  // After download(): everything but the first `rows` rows is still NaN.
  bool gaps_untouched(int64_t rows) {
    for (int64_t i = 0; i < static_cast<int64_t>(host_.size()); i++) {
      const int64_t element = i - lead_;
      const bool inside = element >= 0 && element / stride_ < rows && element % stride_ < cols_;
      if (!inside && !std::isnan(static_cast<float>(host_[static_cast<size_t>(i)]))) return false;
    }
    return true;
  }

 private:
  int64_t rows_, cols_, stride_, lead_;
  DeviceBuffer<T> buffer_;
  std::vector<T> host_;
};

// Errors of `actual` and of a same-precision reference against fp64, over all elements.
template <class T>
class ErrorRule {
 public:
  void add(double actual, double same_precision, double expected) {
    const double x = rounded<T>(expected);
    if (std::isnan(actual) || std::isnan(expected)) {
      wrong_ |= std::isnan(actual) != std::isnan(expected);
      return;
    }
    if (std::isinf(expected) || std::isinf(actual)) {
      wrong_ |= actual != expected;
      return;
    }
    actual_ = std::max(actual_, std::fabs(actual - expected));
    reference_ = std::max(reference_, std::fabs(same_precision - expected));
    noise_ = std::max(noise_, std::fabs(rounded<T>(rounded<T>(x + 0.3) - 0.3) - x));
  }
  // error <= 2 * error of the same-precision reference + 2 * max|(x + 0.3 - 0.3) - x|
  void check(const std::string& what) const {
    test::check(
        !wrong_ && actual_ <= 2 * reference_ + 2 * noise_,
        concat(what, ": error ", actual_, ", of the same-precision reference ", reference_, ", noise ",
               noise_,
               wrong_ ? ", and a NaN or infinity where there should be none, or none where there should" : "",
               "; seed ", seed()));
  }

 private:
  double actual_ = 0, reference_ = 0, noise_ = 0;
  bool wrong_ = false;
};

inline void check_code(const Status& status, Code code, const std::string& what) {
  check(status.code() == code, concat(what, ": got ", code_name(status.code()), " (", status.message(),
                                      "), expected ", code_name(code)));
}

template <class T>
const char* type_name() {
  return dtype_name(dtype_of<T>);
}

}  // namespace padless::cuda::test
