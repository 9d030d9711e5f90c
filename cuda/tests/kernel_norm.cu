// residual_norm and l2_normalize against fp64.
#include "cuda/tests/kernel_support.h"
#include "cuda/tests/norm_reference.h"

namespace padless::cuda::test {
namespace {

struct NormCase {
  int64_t rows, cols;
  NormKind kind = NormKind::kLayer;
  bool residual = true, bias = true, beta = true, sum = false, in_place = false, add = false;
  int64_t gap = 0, lead = 0;
  float offset = 0;  // of the values: a mean much larger than the deviation
  std::string name() const {
    return concat(kind == NormKind::kLayer ? "layer" : "rms", " [", rows, ", ", cols, "] residual ", residual,
                  " bias ", bias, " beta ", beta, " sum ", sum, " in place ", in_place, " add ", add, " gap ",
                  gap, " lead ", lead, " offset ", offset);
  }
};

struct NormReference {
  std::vector<double> sum, out;
};

template <class T>
void test_norm(const NormCase& c) {
  Random random(static_cast<uint64_t>(c.rows * 31 + c.cols));
  TestMatrix<T> in(c.rows, c.cols, c.gap, c.lead), residual(c.rows, c.cols, c.gap, c.lead),
      out(c.rows, c.cols, c.gap, c.lead), sum(c.rows, c.cols, c.gap, c.lead),
      add(c.rows, c.cols, c.gap, c.lead);
  in.fill(random, c.offset - 1, c.offset + 1);
  residual.fill(random);
  if (c.add) add.fill(random);
  const auto cols = static_cast<size_t>(c.cols);
  const auto gamma = random.vector<float>(cols, 0.5f, 1.5f), beta = random.vector<float>(cols),
             bias = random.vector<float>(cols);
  DeviceBuffer<float> device_gamma(gamma), device_beta(beta), device_bias(bias);
  ResidualNormArgs args;
  args.kind = c.kind;
  args.eps = 1e-5f;
  args.in = in.view();
  if (c.residual) args.residual = residual.view();
  if (c.bias) args.bias = device_bias.data();
  args.gamma = device_gamma.data();
  if (c.beta) args.beta = device_beta.data();
  if (c.add) args.add = add.view();
  TestMatrix<T>& destination = !c.in_place ? out : c.add ? add : residual;
  std::vector<double> residual_values, add_values;  // before the call: it may overwrite them
  for (int64_t r = 0; r < c.rows; r++) {
    for (int64_t i = 0; i < c.cols; i++) {
      residual_values.push_back(residual.value(r, i));
      add_values.push_back(c.add ? add.value(r, i) : 0.0);
    }
  }
  args.out = destination.view();
  if (c.sum) args.sum = sum.view();
  check_ok(residual_norm(args, nullptr), c.name());
  destination.download();
  sum.download();

  ErrorRule<T> out_rule, sum_rule;
  for (int64_t r = 0; r < c.rows; r++) {
    std::vector<double> exact(cols);
    std::vector<float> single(cols);
    for (size_t i = 0; i < cols; i++) {
      exact[i] = in.value(r, static_cast<int64_t>(i)) + (c.bias ? bias[i] : 0.0) +
                 (c.residual ? residual_values[static_cast<size_t>(r) * cols + i] : 0.0);
      single[i] = static_cast<float>(exact[i]);
      if (c.sum) {
        sum_rule.add(sum.value(r, static_cast<int64_t>(i)), rounded<T>(exact[i]), exact[i]);
      }
    }
    normalize(exact, c.kind, args.eps, gamma, beta, c.beta);
    normalize(single, c.kind, args.eps, gamma, beta, c.beta);
    for (size_t i = 0; i < cols; i++) {
      const double added = add_values[static_cast<size_t>(r) * cols + i];
      out_rule.add(destination.value(r, static_cast<int64_t>(i)), rounded<T>(single[i] + added),
                   exact[i] + added);
    }
  }
  const std::string name = concat(type_name<T>(), " ", c.name());
  out_rule.check(name);
  sum_rule.check(name + ", sum");
  check(destination.gaps_untouched(c.rows) && (!c.sum || sum.gaps_untouched(c.rows)),
        name + ": gaps untouched");
}

template <class T>
void test_norms() {
  // Column counts around every row shape, odd ones included.
  for (int64_t cols : {1, 7, 8, 33, 255, 256, 257, 384, 512, 768, 1000, 1024})
    test_norm<T>({.rows = 5, .cols = cols});
  for (int64_t cols : {1025, 2048, 2056, 4096, 4100, 8192, 16384}) test_norm<T>({.rows = 2, .cols = cols});
  test_norm<T>({.rows = 9, .cols = 768, .kind = NormKind::kRms, .beta = false});
  test_norm<T>({.rows = 9, .cols = 768, .residual = false, .bias = false, .sum = true});
  test_norm<T>({.rows = 6, .cols = 384, .bias = false, .sum = true, .in_place = true});
  test_norm<T>({.rows = 6, .cols = 384, .in_place = true});
  test_norm<T>({.rows = 3, .cols = 2048, .in_place = true});
  test_norm<T>({.rows = 6, .cols = 384, .add = true});
  test_norm<T>({.rows = 5, .cols = 301, .kind = NormKind::kRms, .sum = true, .in_place = true, .add = true});
  test_norm<T>({.rows = 3, .cols = 2048, .residual = false, .in_place = true, .add = true, .gap = 3});
  test_norm<T>({.rows = 6, .cols = 384, .gap = 8});
  test_norm<T>({.rows = 6, .cols = 384, .sum = true, .gap = 3});  // misaligned rows
  test_norm<T>({.rows = 6, .cols = 384, .lead = 1});              // misaligned base
  test_norm<T>({.rows = 6, .cols = 301, .sum = true, .gap = 19});
  test_norm<T>({.rows = 4, .cols = 768, .residual = false, .bias = false, .offset = 60});
}

// Capacity above the true count: rows past it are NaN on the way in and must stay untouched on the way out.
void test_rows_on_device() {
  Random random;
  for (int32_t rows : {0, 1, 6, 9}) {
    TestMatrix<bf16> in(9, 64), out(9, 64), unit(9, 64);
    in.fill(random);
    for (int64_t r = rows; r < 9; r++) {
      for (int64_t c = 0; c < 64; c++) in.at(r, c) = TestMatrix<bf16>::nan();
    }
    in.upload();
    DeviceBuffer<int32_t> count(std::vector<int32_t>{rows});
    DeviceBuffer<float> gamma(std::vector<float>(64, 1.0f));
    ResidualNormArgs args;
    args.in = in.view();
    args.gamma = gamma.data();
    args.out = out.view();
    args.rows_on_device = count.data();
    check_ok(residual_norm(args, nullptr), "rows on device");
    check_ok(l2_normalize({.in = in.view(), .out = unit.view(), .rows_on_device = count.data()}, nullptr),
             "rows on device");
    out.download();
    unit.download();
    check(out.gaps_untouched(rows) && unit.gaps_untouched(rows),
          concat("rows on device: ", rows, " of 9, rows past the end untouched"));
    bool clean = true;
    for (int64_t r = 0; r < rows; r++) clean &= !std::isnan(out.value(r, 0)) && !std::isnan(unit.value(r, 0));
    check(clean, concat("rows on device: ", rows, " of 9, rows written"));
  }
}

template <class T>
void test_l2(int64_t rows, int64_t cols, int64_t gap) {
  Random random(static_cast<uint64_t>(cols));
  TestMatrix<T> in(rows, cols, gap), out(rows, cols, gap);
  in.fill(random);
  for (int64_t c = 0; c < cols; c++) in.at(0, c) = static_cast<T>(0.0f);  // |0| / max(|0|, eps) is 0
  in.upload();
  check_ok(l2_normalize({in.view(), out.view()}, nullptr), "l2_normalize");
  out.download();
  ErrorRule<T> rule;
  for (int64_t r = 0; r < rows; r++) {
    double squares = 0;
    for (int64_t c = 0; c < cols; c++) squares += in.value(r, c) * in.value(r, c);
    for (int64_t c = 0; c < cols; c++) {
      const double expected = in.value(r, c) / std::max(std::sqrt(squares), 1e-12);
      rule.add(out.value(r, c), rounded<T>(expected), expected);
    }
  }
  rule.check(concat("l2 ", type_name<T>(), " [", rows, ", ", cols, "] gap ", gap));
  check(out.gaps_untouched(rows), "l2: gaps untouched");
}

void test_bad_input() {
  TestMatrix<bf16> in(4, 64), narrow(4, 63);
  TestMatrix<fp16> other(4, 64);
  DeviceBuffer<float> gamma(std::vector<float>(64, 1.0f));
  ResidualNormArgs good;
  good.in = in.view();
  good.gamma = gamma.data();
  good.out = in.view();
  check_ok(residual_norm(good, nullptr), "in place");
  const auto expect = [&](Code code, const char* what, auto change) {
    ResidualNormArgs bad = good;
    change(bad);
    check_code(residual_norm(bad, nullptr), code, what);
  };
  expect(Code::kInvalidArgument, "narrow out", [&](auto& a) { a.out = narrow.view(); });
  expect(Code::kInvalidArgument, "dtype of out", [&](auto& a) { a.out = other.view(); });
  expect(Code::kInvalidArgument, "dtype of residual", [&](auto& a) { a.residual = other.view(); });
  expect(Code::kInvalidArgument, "dtype of add", [&](auto& a) { a.add = other.view(); });
  expect(Code::kInvalidArgument, "no gamma", [&](auto& a) { a.gamma = nullptr; });
  expect(Code::kInvalidArgument, "no data", [&](auto& a) { a.in.data = nullptr; });
  expect(Code::kInvalidArgument, "stride", [&](auto& a) { a.in.stride = 60; });
  expect(Code::kInvalidArgument, "alignment",
         [&](auto& a) { a.in.data = static_cast<char*>(a.in.data) + 1; });
  expect(Code::kUnsupported, "integers", [&](auto& a) { a.in.dtype = a.out.dtype = DType::kI32; });
  expect(Code::kUnsupported, "too wide",
         [&](auto& a) { a.in.cols = a.out.cols = a.in.stride = a.out.stride = 20000; });
  expect(Code::kOk, "no rows", [&](auto& a) { a.in.rows = a.out.rows = 0; });
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_norms<bf16>();
  test::test_norms<fp16>();
  test::test_norms<float>();
  test::test_rows_on_device();
  for (int64_t cols : {1, 384, 768, 1001, 4096}) {
    test::test_l2<bf16>(3, cols, 0);
    test::test_l2<float>(3, cols, 4);
  }
  test::test_bad_input();
  return test::report("kernel_norm");
}
