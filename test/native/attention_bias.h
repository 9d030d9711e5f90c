// Biases of the attention tests: tables of random values, and what they add to a score in double precision.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "lib/engine/engine.h"
#include "test/native/cpu_test.h"

namespace padless::test {

template <class T>
class TestTensor final : public DeviceTensor {
 public:
  TestTensor(std::vector<T> values, DType dtype, int64_t rows, int64_t cols)
      : values_(std::move(values)), dtype_(dtype), rows_(rows), cols_(cols) {}
  Matrix view() const override { return {const_cast<T*>(values_.data()), dtype_, rows_, cols_, cols_}; }
  size_t bytes() const override { return values_.size() * sizeof(T); }
  T at(int64_t row, int64_t col) const { return values_[row * cols_ + col]; }

 private:
  std::vector<T> values_;
  DType dtype_;
  int64_t rows_;
  int64_t cols_;
};

/** Which biases a case adds, and how far their tables reach. */
struct BiasCase {
  bool alibi = false;
  bool relative = false;
  bool position_keys = false;
  bool position_queries = false;
  int64_t reach = 0;
  std::function<int32_t(int64_t)> row = {};  // of a distance in [-reach, reach]; never falls
};

/** A row a distance. */
inline int32_t direct_row(int64_t distance, int64_t reach) { return static_cast<int32_t>(distance + reach); }

/** A row a distance up to `middle`, then a row for ever more distances; `step` 2 leaves every other row out.
 */
inline int32_t bucket_row(int64_t distance, int64_t middle, int32_t step) {
  const int64_t size = std::abs(distance);
  const int64_t far = size <= middle ? 0 : static_cast<int64_t>(3 * std::log2(double(size) / double(middle)));
  const int64_t bucket = std::min(size, middle) + far;
  return static_cast<int32_t>(step * (100 + (distance < 0 ? -bucket : bucket)));
}

struct BiasTerm {
  double value = 0;
  double magnitude = 0;  // of what was added up to it
};

class BiasData {
 public:
  BiasData(const BiasCase& bias, const AttentionShape& shape, uint64_t salt)
      : bias_(bias),
        dim_(shape.head_dim),
        slopes_(table(1, shape.heads, salt)),
        relative_(table(shape.heads, distances(), salt + 1)),
        rows_(rows_of(bias), DType::kI32, 1, distances()),
        keys_(table(rows_.at(0, distances() - 1) + 1, shape.heads * dim_, salt + 2)),
        queries_(table(rows_.at(0, distances() - 1) + 1, shape.heads * dim_, salt + 3)) {}

  AttentionBias view() const {
    AttentionBias view;
    view.reach = bias_.reach;
    if (bias_.alibi) view.alibi_slopes = &slopes_;
    if (bias_.relative) view.relative = &relative_;
    if (bias_.position_keys) view.position_keys = &keys_;
    if (bias_.position_queries) view.position_queries = &queries_;
    if (bias_.position_keys || bias_.position_queries) view.relative_rows = &rows_;
    return view;
  }

  /** For query and key rows of that head, `distance` apart. */
  BiasTerm term(int64_t head, int64_t distance, const float* q, const float* k, double scale) const {
    const int64_t near = std::clamp(distance, -bias_.reach, bias_.reach);
    BiasTerm term;
    const auto add = [&](double value) {
      term.value += value;
      term.magnitude += std::abs(value);
    };
    if (bias_.alibi) add(-double{slopes_.at(0, head)} * static_cast<double>(std::abs(distance)));
    if (bias_.relative) add(relative_.at(head, bias_.reach - near));
    for (int64_t d = 0; d < dim_; ++d) {
      const int32_t row = rows_.at(0, near + bias_.reach);
      if (bias_.position_keys) add(scale * q[d] * keys_.at(row, head * dim_ + d));
      if (bias_.position_queries) add(scale * k[d] * queries_.at(row, head * dim_ + d));
    }
    return term;
  }

 private:
  int64_t distances() const { return 2 * bias_.reach + 1; }
  static TestTensor<float> table(int64_t rows, int64_t cols, uint64_t salt) {
    return {normal_values(rows * cols, salt), DType::kF32, rows, cols};
  }
  static std::vector<int32_t> rows_of(const BiasCase& bias) {
    std::vector<int32_t> rows;
    for (int64_t d = -bias.reach; d <= bias.reach; ++d) rows.push_back(bias.row ? bias.row(d) : 0);
    return rows;
  }

  BiasCase bias_;
  int64_t dim_;
  TestTensor<float> slopes_;    // [heads]
  TestTensor<float> relative_;  // [heads, distances]
  TestTensor<int32_t> rows_;    // [distances]
  TestTensor<float> keys_;      // [rows, heads * dim]
  TestTensor<float> queries_;
};

}  // namespace padless::test
