// CPU attention with products in bf16: how far from exact, and where it stays in fp32.
#include <cstdio>

#include "test/native/attention_case.h"

namespace padless::test {
namespace {

const std::vector<int32_t> kFewLengths = {1, 40, 0, 17, 129};

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](const std::string& name, const std::vector<int32_t>& lengths,
                       const AttentionShape& shape, const AttentionSpan& span, const BiasCase& bias = {}) {
    Case test = {name, lengths, shape, span};
    test.bias = bias;
    test.compute = ComputeType::kBF16;
    all.push_back(test);
  };
  for (int64_t dim : {1, 15, 16, 24, 32, 33, 40, 64, 96}) {
    add(concat("dim ", dim), dim == 32 ? kLengths : kFewLengths, {2, 2, dim}, {});
  }
  add("one token", {1}, {2, 2, 64}, {});
  add("causal", kLengths, {2, 2, 32}, {true, -1, -1});
  add("window 5, 4", kLengths, {2, 2, 20}, {false, 5, 4});
  add("window 64, 63", {700, 1301, 65, 12}, {1, 1, 16}, {false, 64, 63});
  add("window 0, 0", kFewLengths, {2, 2, 8}, {false, 0, 0});
  add("causal window", {601, 1100, 17}, {2, 1, 24}, {true, 41, -1});
  add("6 heads share 2", kLengths, {6, 2, 16}, {});
  add("long", {1025, 2000}, {1, 1, 32}, {});
  add("ALiBi", kLengths, {3, 3, 32}, {}, {true, false, false, false, 0, {}});
  add("relative", kLengths, {3, 3, 32}, {}, {false, true, false, false, 100, {}});
  return all;
}

/** Relative L2 distance of out from the exact result. */
double error_of(const Case& test, const Reference& expected, const auto& value_at) {
  const int64_t cols = test.shape.heads * test.shape.head_dim;
  double error = 0;
  double size = 0;
  for (size_t i = 0; i < expected.out.size(); ++i) {
    const auto t = static_cast<int64_t>(i) / cols;
    const double difference = value_at(t, static_cast<int64_t>(i) % cols) - expected.out[i];
    error += difference * difference;
    size += expected.out[i] * expected.out[i];
  }
  return std::sqrt(error / size);
}

void test_error(const CpuContext& context) {
  uint64_t salt = 0;
  for (const Case& test : cases()) {
    Input input = make_input(test, ++salt);
    const int64_t cols = test.shape.heads * test.shape.head_dim;
    const Reference expected = reference(test, input);
    const Reference rounded = reference(test, input, to_bf16);
    const Output got = run(context, test, input);
    const double usual =
        error_of(test, expected, [&](int64_t t, int64_t c) { return to_bf16(rounded.out[t * cols + c]); });
    const double error = error_of(
        test, expected, [&](int64_t t, int64_t c) { return double{got.out[t * (cols + kOtherCols) + c]}; });
    check(error <= 2 * usual, concat(test.name, ": error ", error, ", of bf16 in general ", usual));
    check(error > 1e-5, concat(test.name, ": error ", error, " is that of fp32"));
    for (size_t i = 0; i < got.lse.size(); ++i) {
      const double wanted = expected.lse[i];
      check(std::abs(got.lse[i] - wanted) <= 0.03 * (1 + std::abs(wanted)),
            concat(test.name, ": lse[", i, "] is ", got.lse[i], ", expected ", wanted));
    }
  }
}

/** Chips without bf16 dot products, and disentangled positions, compute in fp32. */
void test_fp32_where_no_bf16() {
  Case disentangled = {"disentangled", kFewLengths, {2, 2, 24}, {}};
  disentangled.bias = {false, false, true, true, 50, [](int64_t d) { return direct_row(d, 50); }};
  const Case plain = {"plain", kFewLengths, {2, 2, 24}, {}};
  for (Case test : {disentangled, plain}) {
    Input input = make_input(test, 300);
    for (const CpuContext& context : contexts(2)) {
      if (context.isa.avx512_bf16 && test.name == "plain") continue;
      test.compute = ComputeType::kF32;
      const Output wanted = run(context, test, input);
      test.compute = ComputeType::kBF16;
      check(same_bits(wanted.out, run(context, test, input).out),
            concat(test.name, " on ", isa_name(context.isa), " is not fp32"));
    }
  }
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless::test;
  start(argc, argv);
  test_fp32_where_no_bf16();
  const padless::CpuContext context = contexts(2).back();
  if (context.isa.avx512_bf16) {
    test_error(context);
    test_bits(cases(), 100);
  } else {
    std::printf("skipped the kernels of AVX512-BF16: this processor is %s\n",
                padless::isa_name(context.isa).c_str());
  }
  return finish();
}
