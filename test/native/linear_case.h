// A random linear layer, its packed form and its result in double precision.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "lib/engine/cpu/linear.h"
#include "lib/engine/cpu/rows/run_rows.h"
#include "test/native/cpu_test.h"
#include "test/native/reference.h"

namespace padless::test {

/** contexts() and, where the machine has dot products, its best level without them, and with those that it
 * would not choose: every kernel that can run. */
inline std::vector<CpuContext> kernel_contexts(int threads) {
  std::vector<CpuContext> list = contexts(threads);
  CpuContext plain = list.back();
  plain.isa.amx_bf16 = plain.isa.amx_int8 = false;
  plain.isa.avx_vnni = plain.isa.avx512_vnni = plain.isa.avx512_bf16 = false;
  plain.isa.neon_dotprod = plain.isa.neon_bf16 = false;
  CpuContext dots = list.back();
  dots.isa.amx_bf16 = dots.isa.amx_int8 = dots.isa.slow_bf16_dots = false;
  for (const CpuContext& context : {plain, dots}) {
    const auto same = [&](const CpuContext& other) { return other.isa == context.isa; };
    if (std::none_of(list.begin(), list.end(), same)) list.push_back(context);
  }
  return list;
}

struct LinearCase {
  int64_t rows = 0;
  int64_t in_features = 0;
  std::vector<int64_t> parts;  // outputs of each
  bool glu = false;
  bool bias = true;
  bool residual = false;
  bool residual_first = false;  // added before the activation
  Activation activation = Activation::kNone;
  DType dtype = DType::kF32;
  ComputeType compute = ComputeType::kF32;

  int64_t stacked() const {
    int64_t sum = 0;
    for (int64_t part : parts) sum += part;
    return sum;
  }
  int64_t out_features() const { return glu ? stacked() / 2 : stacked(); }
  std::string name() const {
    return concat(rows, "x", in_features, "x", stacked(), glu ? " glu" : "", bias ? " bias" : "",
                  residual ? " residual" : "", residual_first ? " first" : "", " activation ",
                  static_cast<int>(activation), " ", dtype_name(dtype), " compute ",
                  static_cast<int>(compute));
  }
};

/** Values as a file of `dtype` would hold them, and the same values as floats again. */
struct StoredValues {
  std::vector<char> bytes;
  std::vector<float> values;
};

inline StoredValues store_as(DType dtype, std::vector<float> values) {
  StoredValues stored;
  stored.bytes.resize(values.size() * dtype_size(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF32) {
      std::memcpy(&stored.bytes[i * 4], &values[i], 4);
      continue;
    }
    const uint16_t bits = dtype == DType::kBF16 ? float_to_bf16(values[i]) : float_to_f16(values[i]);
    std::memcpy(&stored.bytes[i * 2], &bits, 2);
    values[i] = dtype == DType::kBF16 ? bf16_to_float(bits) : f16_to_float(bits);
  }
  stored.values = std::move(values);
  return stored;
}

inline Doubles to_doubles(const std::vector<float>& values) { return Doubles(values.begin(), values.end()); }

/** The data of a case: x [rows, in], weights and biases stacked, residual [rows, out]. */
struct LinearData {
  LinearData(const LinearCase& shape, uint64_t salt)
      : x(normal_values(shape.rows * shape.in_features, salt)),
        residual(shape.residual ? normal_values(shape.rows * shape.out_features(), salt + 1)
                                : std::vector<float>{}) {
    for (size_t i = 0; i < shape.parts.size(); ++i) {
      const int64_t n = shape.parts[i];
      const float deviation = 1.f / std::sqrt(static_cast<float>(shape.in_features));
      weights.push_back(
          store_as(shape.dtype, normal_values(n * shape.in_features, salt + 10 + i, deviation)));
      biases.push_back(store_as(shape.dtype, normal_values(n, salt + 50 + i)));
    }
  }

  LinearSource source(const LinearCase& shape) const {
    LinearSource result;
    for (size_t i = 0; i < shape.parts.size(); ++i) {
      LinearPart part;
      part.weight = {weights[i].bytes.data(), shape.dtype, {shape.parts[i], shape.in_features}};
      if (shape.bias) part.bias = {biases[i].bytes.data(), shape.dtype, {shape.parts[i]}};
      result.parts.push_back(part);
    }
    result.glu = shape.glu;
    result.compute = shape.compute;
    return result;
  }

  Doubles stacked_weights() const {
    Doubles stacked;
    for (const StoredValues& weight : weights) {
      stacked.insert(stacked.end(), weight.values.begin(), weight.values.end());
    }
    return stacked;
  }

  Doubles stacked_biases(const LinearCase& shape) const {
    Doubles stacked;
    if (!shape.bias) return stacked;
    for (const StoredValues& bias : biases)
      stacked.insert(stacked.end(), bias.values.begin(), bias.values.end());
    return stacked;
  }

  std::vector<float> x;
  std::vector<float> residual;
  std::vector<StoredValues> weights;
  std::vector<StoredValues> biases;
};

/** What follows the product [rows, stacked]: activation, GLU, residual. */
inline Doubles finish_reference(const LinearCase& shape, const LinearData& data, const Doubles& product) {
  const int64_t n = shape.out_features();
  Doubles out(static_cast<size_t>(shape.rows * n));
  for (int64_t row = 0; row < shape.rows; ++row) {
    for (int64_t column = 0; column < n; ++column) {
      const size_t at = static_cast<size_t>(row * n + column);
      const double* values = &product[static_cast<size_t>(row * shape.stacked())];
      const double residual = shape.residual ? data.residual[at] : 0;
      const double first = shape.residual_first ? residual : 0;
      double value = activate_reference(shape.activation, values[column] + first);
      if (shape.glu) value *= values[n + column];
      value += residual - first;
      out[at] = value;
    }
  }
  return out;
}

inline Doubles linear_case_reference(const LinearCase& shape, const LinearData& data) {
  return finish_reference(
      shape, data,
      linear_reference(to_doubles(data.x), data.stacked_weights(), data.stacked_biases(shape), shape.rows,
                       shape.stacked(), shape.in_features));
}

/** Runs the first `rows` rows through a program of one step; residual and out are one matrix if there is one.
 */
inline std::vector<float> run_linear(const CpuContext& context, const LinearCase& shape, LinearData& data,
                                     std::shared_ptr<const LinearWeight> weight, int64_t rows) {
  const int64_t n = shape.out_features();
  std::vector<float> out(static_cast<size_t>(rows * n), NAN);
  if (shape.residual) std::copy_n(data.residual.begin(), out.size(), out.begin());
  RowProgram program;
  LinearStep step;
  step.weight = std::move(weight);
  step.in = program.bound(0, shape.in_features);
  step.out = program.bound(1, n);
  step.residual = shape.residual ? step.out : kNoSlot;
  step.activation = shape.activation;
  step.residual_first = shape.residual_first;
  program.steps.push_back(step);
  const Matrix matrices[] = {matrix_of(data.x, rows, shape.in_features), matrix_of(out, rows, n)};
  const Status status = run_rows_cpu(context, program, matrices, rows);
  check(status.is_ok(), concat(shape.name(), ": ", status.message()));
  return out;
}

}  // namespace padless::test
