// One call of linear() held to fp64, with any kernel and epilogue: shared by the GEMM tests.
#pragma once

#include <string>
#include <vector>

#include "cuda/tests/kernel_support.h"
#include "test/native/reference.h"

namespace padless::cuda::test {

using padless::test::activate_reference;

struct LinearCase {
  int64_t m, n, k;
  int tile = 1, splits = 1;
  Activation activation = Activation::kNone;
  bool glu = false, bias = true, residual = false, residual_first = false, out_f32 = false;
  int64_t gap = 0, lead = 0;
  int32_t rows = -1;  // on the device; -1: not given
  GemmKernel kernel = GemmKernel::kPortable;
  int blocks = 0;
  std::string name() const {
    return concat("[", m, ", ", n, ", ", k, "] kernel ", static_cast<int>(kernel), " tile ", tile, " splits ",
                  splits, " blocks ", blocks, " activation ", static_cast<int>(activation), glu ? " glu" : "",
                  bias ? " bias" : "", residual ? " residual" : "", residual_first ? " first" : "",
                  out_f32 ? " f32 out" : "", " gap ", gap, " lead ", lead, " rows ", rows);
  }
};

// Columns from the end of a row to the next that an operand needs to have aligned rows.
template <class T>
int64_t operand_gap(int64_t k, int64_t wanted) {
  return std::is_same_v<T, e4m3> ? (16 - k % 16) % 16 : wanted;
}

// Of `count` rows or columns; only those of e4m3 are used.
template <class T>
std::vector<float> operand_scales(int64_t count, Random& random) {
  const auto size = static_cast<size_t>(count);
  return std::is_same_v<T, e4m3> ? random.vector<float>(size, 0.25f, 1.0f) : std::vector<float>(size, 1.0f);
}

// Rows of the input past the true count hold NaN.
template <class T, class Out>
void run_case(const LinearCase& c) {
  constexpr bool kScaled = std::is_same_v<T, e4m3>;
  using Residual = std::conditional_t<kScaled, std::conditional_t<std::is_same_v<Out, float>, bf16, Out>, T>;
  const std::string name = concat("linear ", type_name<T>(), " ", c.name());
  Random random(static_cast<uint64_t>(c.m * 131 + c.n * 7 + c.k));
  const int64_t weight_rows = c.glu ? (c.n + 7) / 8 * 16 : c.n;
  const int64_t gap = operand_gap<T>(c.k, c.gap);
  TestMatrix<T> in(c.m, c.k, gap, c.lead), weight(weight_rows, c.k, gap);
  TestMatrix<Residual> residual(c.m, c.n, c.gap);
  TestMatrix<Out> out(c.m, c.n, c.gap);
  in.fill(random);
  weight.fill(random);
  residual.fill(random);
  const int64_t rows = c.rows < 0 ? c.m : c.rows;
  for (int64_t r = rows; r < c.m; r++) {
    for (int64_t i = 0; i < c.k; i++) in.at(r, i) = TestMatrix<T>::nan();
  }
  in.upload();
  const auto in_scales = operand_scales<T>(c.m, random),
             weight_scales = operand_scales<T>(weight_rows, random);
  DeviceBuffer<float> device_in_scales(in_scales), device_weight_scales(weight_scales);
  const auto bias = random.vector<float>(static_cast<size_t>(weight_rows));
  DeviceBuffer<float> device_bias(bias);
  DeviceBuffer<int32_t> count(std::vector<int32_t>{c.rows});
  LinearArgs args;
  args.in = in.view();
  args.weight = weight.view();
  if (c.bias) args.bias = device_bias.data();
  args.activation = c.activation;
  args.glu = c.glu;
  if (c.residual) args.residual = residual.view();
  args.residual_first = c.residual_first;
  args.out = out.view();
  if (c.rows >= 0) args.rows_on_device = count.data();
  if (kScaled) args.in_scales = device_in_scales.data(), args.weight_scales = device_weight_scales.data();
  const GemmPlan plan{c.tile, c.splits, c.kernel, c.blocks};
  DeviceBuffer<float> workspace(linear_workspace_bytes(args, plan) / sizeof(float));
  check_ok(linear(args, plan, workspace.data(), nullptr), name);
  out.download();

  const std::vector<double> in_values = in.values(), weight_values = weight.values();
  const auto product = [&](int64_t r, int64_t col) {
    const double *const a = in_values.data() + r * c.k, *const b = weight_values.data() + col * c.k;
    double sum = 0;
    for (int64_t i = 0; i < c.k; i++) sum += a[i] * b[i];
    sum *= double{in_scales[static_cast<size_t>(r)]} * double{weight_scales[static_cast<size_t>(col)]};
    return sum + (c.bias ? bias[static_cast<size_t>(col)] : 0.0);
  };
  ErrorRule<Out> rule;
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t col = 0; col < c.n; col++) {
      double value = 0;
      if (c.glu) {
        const int64_t gate = col / 8 * 16 + col % 8;
        value = activate_reference(c.activation, product(r, gate)) * product(r, gate + 8);
      } else {
        const double first = c.residual_first ? residual.value(r, col) : 0;
        value = activate_reference(c.activation, product(r, col) + first);
      }
      if (c.residual && !c.residual_first) value += residual.value(r, col);
      // The same-precision reference: f32 sums over k, then one rounding.
      const double f32_noise = 1e-7 * static_cast<double>(c.k) + 1e-6;
      rule.add(out.value(r, col), rounded<Out>(value + f32_noise), value);
    }
  }
  rule.check(name);
  check(out.gaps_untouched(rows), name + ": nothing written outside");
}

}  // namespace padless::cuda::test
