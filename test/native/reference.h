// Row-wise operations in double precision, one element at a time: what the CPU tests compare against.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "lib/engine/activation.h"

namespace padless::test {

using Doubles = std::vector<double>;

inline double activate_reference(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluErf:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return std::max(0.0, x);
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return x;
}

/** x [rows, k] times w [n, k] transposed, plus bias [n] or nothing. */
inline Doubles linear_reference(const Doubles& x, const Doubles& w, const Doubles& bias, int64_t rows,
                                int64_t n, int64_t k) {
  Doubles out(static_cast<size_t>(rows * n));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < n; ++column) {
      double sum = bias.empty() ? 0 : bias[static_cast<size_t>(column)];
      for (int64_t i = 0; i < k; ++i) {
        sum += x[static_cast<size_t>(row * k + i)] * w[static_cast<size_t>(column * k + i)];
      }
      out[static_cast<size_t>(row * n + column)] = sum;
    }
  }
  return out;
}

/** Root of the summed squared differences over the root of the summed squares; 0 for two zeros. Where few
 * values can cancel to almost nothing, `floor` is the least root mean square that they count as. */
inline double relative_error(const std::vector<float>& got, const Doubles& expected, double floor = 0) {
  double difference = 0;
  double size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += (got[i] - expected[i]) * (got[i] - expected[i]);
    size += expected[i] * expected[i];
  }
  if (std::isnan(difference)) return INFINITY;
  size = std::max(size, floor * floor * static_cast<double>(expected.size()));
  return difference == 0 ? 0 : std::sqrt(difference / size);
}

}  // namespace padless::test
