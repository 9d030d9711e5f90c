// What the tests of attention in bf16 share: cases, and how far results may be from exact ones.
#pragma once

#include "test/native/attention_case.h"

namespace padless::test {

inline const std::vector<int32_t> kFewLengths = {1, 40, 0, 17, 129};

inline std::vector<Case> bf16_cases() {
  std::vector<Case> all;
  const auto add = [&](const std::string& name, const std::vector<int32_t>& lengths,
                       const AttentionShape& shape, const AttentionSpan& span, const BiasCase& bias = {}) {
    Case test = {name, lengths, shape, span};
    test.bias = bias;
    all.push_back(test);
  };
  for (int64_t dim : {1, 15, 16, 24, 32, 33, 40, 64, 80, 96, 128, 256}) {
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
  add("long, dim 80", {1025}, {1, 1, 80}, {});
  all.push_back({"one key wins", kLengths, {2, 1, 64}, {}, 0, 6});
  all.push_back({"huge values", kFewLengths, {2, 2, 32}, {}, 1e-28f, 3e13f});
  all.push_back({"negative scale", kFewLengths, {2, 2, 32}, {}, -0.2f});
  all.push_back({"key counts", {40, 17, 129, 70, 3}, {2, 2, 32}, {}});
  all.back().key_counts = {13, 17, 64, 33, 1};
  all.push_back({"key counts, window", {40, 200, 129}, {2, 2, 32}, {false, 20, 30}});
  all.back().key_counts = {13, 20, 128};
  add("ALiBi", kLengths, {3, 3, 32}, {}, {true, false, false, false, 0, {}});
  add("relative", kLengths, {3, 3, 32}, {}, {false, true, false, false, 100, {}});
  for (Case& test : all) test.compute = ComputeType::kBF16;
  return all;
}

/** Relative L2 distance of out from the exact result. */
inline double error_of(const Case& test, const Reference& expected, const auto& value_at) {
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

inline void test_bf16_error(const Runner& runner) {
  uint64_t salt = 0;
  for (const Case& test : bf16_cases()) {
    Input input = make_input(test, ++salt);
    const int64_t cols = test.shape.heads * test.shape.head_dim;
    const Reference expected = reference(test, input);
    const Reference rounded = reference(test, input, to_bf16);
    const Output got = run(runner, test, input);
    const double usual =
        error_of(test, expected, [&](int64_t t, int64_t c) { return to_bf16(rounded.out[t * cols + c]); });
    const double error = error_of(
        test, expected, [&](int64_t t, int64_t c) { return double{got.out[t * (cols + kOtherCols) + c]}; });
    check(error <= 2 * usual,
          concat(test.name, " on ", runner.name(), ": error ", error, ", of bf16 in general ", usual));
    check(error > 1e-5, concat(test.name, ": error ", error, " is that of fp32"));
    // Rounded operands move a score by some 2^-8 of what scores usually are: ten times that, for many scores.
    const double dim = static_cast<double>(test.shape.head_dim);
    const double scale = test.scale != 0 ? std::abs(test.scale) : 1 / std::sqrt(dim);
    const double usual_score = std::max(1.0, scale * std::sqrt(dim) * test.deviation * test.deviation);
    for (size_t i = 0; i < got.lse.size(); ++i) {
      const double wanted = expected.lse[i];
      check(
          got.lse[i] == wanted || std::abs(got.lse[i] - wanted) <= 0.03 * (usual_score + std::abs(wanted)),
          concat(test.name, " on ", runner.name(), ": lse[", i, "] is ", got.lse[i], ", expected ", wanted));
    }
  }
}

/** int8 models take the kernels of bf16. */
inline void test_int8_as_bf16(const Runner& runner) {
  Case test = {"int8", kFewLengths, {2, 2, 32}, {}};
  Input input = make_input(test, 400);
  test.compute = ComputeType::kBF16;
  const Output wanted = run(runner, test, input);
  test.compute = ComputeType::kI8;
  check(same_bits(wanted.out, run(runner, test, input).out),
        concat("int8 on ", runner.name(), " has other bits than bf16"));
}

/** Queries, keys and values of bf16 give the bits of the same numbers in f32. */
inline void test_bf16_input(const Runner& runner) {
  for (const Case& test : bf16_cases()) {
    Input input = make_input(test, 500);
    std::vector<uint16_t> halves;
    for (float& value : input.qkv) {
      halves.push_back(float_to_bf16(value));
      value = bf16_to_float(halves.back());
    }
    if (halves.empty()) continue;
    const Output wanted = run(runner, test, input);
    const Output got = run(runner, test, input, halves);
    check(same_bits(wanted.out, got.out) && same_bits(wanted.lse, got.lse),
          concat(test.name, " on ", runner.name(), " has other bits from bf16"));
  }
}

/** Results written in bf16 over the queries are those in f32, rounded. */
inline void test_bf16_results(const Runner& runner) {
  for (const Case& test : bf16_cases()) {
    Input input = make_input(test, 600);
    std::vector<uint16_t> halves;
    for (const float value : input.qkv) halves.push_back(float_to_bf16(value));
    if (halves.empty()) continue;
    const Output wanted = run(runner, test, input, halves);
    const std::vector<uint16_t> before = halves;
    run_in_place(runner, test, input, halves);
    const int64_t cols = test.shape.heads * test.shape.head_dim;
    for (int64_t t = 0; t < input.cu_seqlens.back(); ++t) {
      for (int64_t c = 0; c < input.stride; ++c) {
        const size_t at = t * input.stride + c;
        const uint16_t expected =
            c < cols ? float_to_bf16(wanted.out[t * (cols + kOtherCols) + c]) : before[at];
        check(halves[at] == expected, concat(test.name, " on ", runner.name(), ": row ", t, ", column ", c,
                                             " is ", halves[at], ", expected ", expected));
      }
    }
  }
}

/** All of it. */
inline void test_bf16_kernels(const std::vector<Runner>& runners) {
  for (const Runner& runner : runners) {
    test_bf16_error(runner);
    test_int8_as_bf16(runner);
    const bool takes_bf16 = runner.kernels ? runner.kernels->takes_bf16
                                           : attention_takes_bf16_cpu(runner.context.isa, ComputeType::kBF16);
    if (!takes_bf16) continue;
    test_bf16_input(runner);
    test_bf16_results(runner);
  }
  test_nan_neighbour(runners, ComputeType::kBF16);
  test_bits(runners, bf16_cases(), 100);
}

}  // namespace padless::test
