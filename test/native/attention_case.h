// What the tests of CPU attention share: cases, packed inputs, and a reference in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "lib/engine/cpu/attention/attention.h"
#include "test/native/attention_bias.h"
#include "test/native/cpu_test.h"

namespace padless::test {

inline const std::vector<int32_t> kLengths = {0,   1,   2,   15,  16,  17,  31,  63,  64, 65, 127,
                                              128, 129, 255, 256, 257, 511, 512, 513, 12, 33};

struct Case {
  std::string name;
  std::vector<int32_t> lengths;
  AttentionShape shape;
  AttentionSpan span;
  float scale = 0;
  float deviation = 1;  // of q and k: large values make one key win
  BiasCase bias = {};
  ComputeType compute = ComputeType::kF32;
  std::vector<int32_t> key_counts = {};
};

inline constexpr float kCanary = 12345.f;
/** Columns of the output's rows that belong to somebody else. */
inline constexpr int64_t kOtherCols = 3;

struct Output {
  std::vector<float> out;  // [T, heads * dim + kOtherCols]
  std::vector<float> lse;  // [heads, T]
};

/** q, k and v interleaved as one QKV product leaves them. */
struct Input {
  std::vector<float> qkv;  // [T, (heads + 2 kv_heads) * dim]
  std::vector<int32_t> cu_seqlens;
  int64_t stride = 0;
  std::shared_ptr<const BiasData> bias;
};

inline Input make_input(const Case& test, uint64_t salt) {
  Input input;
  input.cu_seqlens = prefix_sums(test.lengths);
  input.stride = (test.shape.heads + 2 * test.shape.kv_heads) * test.shape.head_dim;
  input.qkv = normal_values(input.cu_seqlens.back() * input.stride, salt, test.deviation);
  input.bias = std::make_shared<BiasData>(test.bias, test.shape, salt + 1000);
  return input;
}

/** The sequence as a case of its own. */
inline Case alone(const Case& test, size_t sequence) {
  Case part = test;
  part.lengths = {test.lengths[sequence]};
  if (!test.key_counts.empty()) part.key_counts = {test.key_counts[sequence]};
  return part;
}

/** The rows of one sequence of `input`, as a batch of their own. */
inline Input alone(const Input& input, size_t sequence) {
  const int32_t first = input.cu_seqlens[sequence];
  const int32_t last = input.cu_seqlens[sequence + 1];
  Input part;
  part.stride = input.stride;
  part.bias = input.bias;
  part.cu_seqlens = {0, last - first};
  part.qkv.assign(input.qkv.begin() + first * input.stride, input.qkv.begin() + last * input.stride);
  return part;
}

inline AttentionArgs make_args(const Case& test, Input& input, Output& output) {
  const int64_t tokens = input.cu_seqlens.back();
  const AttentionShape& shape = test.shape;
  const int64_t query_cols = shape.heads * shape.head_dim;
  const int64_t key_cols = shape.kv_heads * shape.head_dim;
  const Matrix qkv = matrix_of(input.qkv, tokens, input.stride);
  output.out.assign((tokens + 1) * (query_cols + kOtherCols), kCanary);
  output.lse.assign(shape.heads * tokens, kCanary);
  AttentionArgs args;
  args.shape = shape;
  args.q = qkv.columns(0, query_cols);
  args.k = qkv.columns(query_cols, key_cols);
  args.v = qkv.columns(query_cols + key_cols, key_cols);
  args.out = {output.out.data(), DType::kF32, tokens, query_cols, query_cols + kOtherCols};
  args.lse = {output.lse.data(), DType::kF32, shape.heads, tokens, tokens};
  args.scale = test.scale != 0 ? test.scale : 1.f / std::sqrt(static_cast<float>(shape.head_dim));
  args.span = test.span;
  args.bias = input.bias->view();
  args.compute = test.compute;
  return args;
}

/** Who computes: the kernels that the context chooses, or others. */
struct Runner {
  CpuContext context;
  const AttentionKernels* kernels = nullptr;
  std::string kernels_name = {};

  Runner(const CpuContext& chosen, const AttentionKernels* others = nullptr, const char* others_name = "")
      : context(chosen), kernels(others), kernels_name(others_name) {}
  std::string name() const { return kernels ? kernels_name : isa_name(context.isa); }
};

/** `halves` take the place of input.qkv. */
inline void use_halves(AttentionArgs& args, const Input& input, std::vector<uint16_t>& halves) {
  for (Matrix* matrix : {&args.q, &args.k, &args.v}) {
    matrix->data = halves.data() + (static_cast<float*>(matrix->data) - input.qkv.data());
    matrix->dtype = DType::kBF16;
  }
}

inline void run(const Runner& runner, const Case& test, const Input& input, const AttentionArgs& args) {
  const CpuContext& context = runner.context;
  PackedBatch batch;
  batch.cu_seqlens = input.cu_seqlens;
  batch.key_counts = test.key_counts;
  const AttentionPlan plan = plan_attention(input.cu_seqlens, test.shape, context.threads);
  const Status status = runner.kernels ? attention_with(*runner.kernels, context, plan, batch, args)
                                       : attention_cpu(context, plan, batch, args);
  check_status(status, Code::kOk, "", test.name);
}

/** `halves`, if any, take the place of input.qkv. */
inline Output run(const Runner& runner, const Case& test, Input& input, std::vector<uint16_t> halves = {}) {
  Output output;
  AttentionArgs args = make_args(test, input, output);
  if (!halves.empty()) use_halves(args, input, halves);
  run(runner, test, input, args);
  return output;
}

/** The same, with results in the place of the queries. */
inline void run_in_place(const Runner& runner, const Case& test, Input& input,
                         std::vector<uint16_t>& halves) {
  Output output;
  AttentionArgs args = make_args(test, input, output);
  use_halves(args, input, halves);
  args.out = args.q;
  run(runner, test, input, args);
}

struct Reference {
  std::vector<double> out;    // [T, heads * dim]
  std::vector<double> lse;    // [heads, T]
  std::vector<double> bound;  // [T, heads]: error that fp32 scores may cause, relative to the largest value
};

inline double exact(double value) { return value; }
inline double to_bf16(double value) { return bf16_to_float(float_to_bf16(static_cast<float>(value))); }

/** `round` is done to what both products multiply: q, k and v, and the probabilities. */
inline Reference reference(const Case& test, const Input& input, double (*round)(double) = exact) {
  const int64_t tokens = input.cu_seqlens.back();
  const int64_t dim = test.shape.head_dim;
  const int64_t heads = test.shape.heads;
  const double scale = test.scale != 0 ? test.scale : 1.f / std::sqrt(static_cast<float>(dim));
  Reference result;
  result.out.assign(tokens * heads * dim, 0);
  result.lse.assign(heads * tokens, -std::numeric_limits<double>::infinity());
  result.bound.assign(tokens * heads, 0);
  for (size_t b = 0; b + 1 < input.cu_seqlens.size(); ++b) {
    const int64_t begin = input.cu_seqlens[b];
    const int64_t length = input.cu_seqlens[b + 1] - begin;
    for (int64_t head = 0; head < heads; ++head) {
      const int64_t kv_head = head / (heads / test.shape.kv_heads);
      for (int64_t i = 0; i < length; ++i) {
        const float* q = &input.qkv[(begin + i) * input.stride + head * dim];
        std::vector<double> scores(length, -std::numeric_limits<double>::infinity());
        double top = -std::numeric_limits<double>::infinity();
        double magnitude = 0;
        const int64_t keys = test.key_counts.empty() ? length : test.key_counts[b];
        for (int64_t j = 0; j < keys; ++j) {
          if (test.span.causal && j > i) continue;
          if (test.span.window_left >= 0 && i - j > test.span.window_left) continue;
          if (test.span.window_right >= 0 && j - i > test.span.window_right) continue;
          const float* k = &input.qkv[(begin + j) * input.stride + (heads + kv_head) * dim];
          double dot = 0;
          double size = 0;
          for (int64_t d = 0; d < dim; ++d) {
            dot += round(q[d]) * round(k[d]);
            size += std::abs(double{q[d]} * k[d]);
          }
          const BiasTerm bias = input.bias->term(head, i - j, q, k, scale);
          scores[j] = dot * scale + bias.value;
          top = std::max(top, scores[j]);
          magnitude = std::max(magnitude, size * std::abs(scale) + bias.magnitude);
        }
        if (std::isinf(top)) continue;  // no key is seen: 0, and a log of -inf
        double sum = 0;
        for (double& score : scores) sum += score = std::exp(score - top);
        double* out = &result.out[(begin + i) * heads * dim + head * dim];
        double largest = 0;
        for (int64_t j = 0; j < length; ++j) {
          if (scores[j] == 0) continue;
          const float* v =
              &input.qkv[(begin + j) * input.stride + (heads + test.shape.kv_heads + kv_head) * dim];
          for (int64_t d = 0; d < dim; ++d) {
            out[d] += round(scores[j] / sum) * round(v[d]);
            largest = std::max(largest, std::abs(double{v[d]}));
          }
        }
        result.lse[head * tokens + begin + i] = top + std::log(sum);
        result.bound[(begin + i) * heads + head] = largest * (2e-6 + 4e-7 * magnitude);
      }
    }
  }
  return result;
}

inline void compare(const std::string& what, const Case& test, const Reference& expected, const Output& got) {
  const int64_t cols = test.shape.heads * test.shape.head_dim;
  const int64_t tokens = static_cast<int64_t>(expected.lse.size()) / test.shape.heads;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t c = 0; c < cols; ++c) {
      const double value = got.out[t * (cols + kOtherCols) + c];
      const double bound = expected.bound[t * test.shape.heads + c / test.shape.head_dim];
      check(std::abs(value - expected.out[t * cols + c]) <= bound,
            concat(what, ": out[", t, ", ", c, "] is ", value, ", expected ", expected.out[t * cols + c],
                   " +- ", bound));
    }
    for (int64_t head = 0; head < test.shape.heads; ++head) {
      const double value = got.lse[head * tokens + t];
      const double wanted = expected.lse[head * tokens + t];
      check(std::abs(value - wanted) <= 1e-5 * (1 + std::abs(wanted)),
            concat(what, ": lse[", head, ", ", t, "] is ", value, ", expected ", wanted));
    }
  }
  for (int64_t t = 0; t <= tokens; ++t) {
    const int64_t first = t < tokens ? cols : 0;
    for (int64_t c = first; c < cols + kOtherCols; ++c) {
      check(got.out[t * (cols + kOtherCols) + c] == kCanary, concat(what, ": wrote outside of row ", t));
    }
  }
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

inline void test_against_reference(const std::vector<Case>& cases, uint64_t salt) {
  for (const Case& test : cases) {
    Input input = make_input(test, ++salt);
    const Reference expected = reference(test, input);
    for (const CpuContext& context : contexts(2)) {
      compare(concat(test.name, " on ", isa_name(context.isa)), test, expected, run(context, test, input));
    }
  }
}

/** Every instruction set of this machine, on `threads` threads. */
inline std::vector<Runner> all_runners(int threads) {
  const std::vector<CpuContext> all = contexts(threads);
  return {all.begin(), all.end()};
}

/** The bits of a sequence depend neither on the number of threads nor on its neighbours. */
inline void test_bits(const std::vector<Runner>& runners, const std::vector<Case>& cases, uint64_t salt) {
  for (const Case& test : cases) {
    Input input = make_input(test, ++salt);
    const int64_t row = test.shape.heads * test.shape.head_dim + kOtherCols;
    for (const Runner& runner : runners) {
      const std::string what = concat(test.name, " on ", runner.name());
      const Output whole = run(runner, test, input);
      for (int threads = 2; threads <= 4; ++threads) {
        Runner wider = runner;
        wider.context.threads = threads;
        const Output again = run(wider, test, input);
        check(same_bits(whole.out, again.out) && same_bits(whole.lse, again.lse),
              concat(what, ": other bits with ", threads, " threads"));
      }
      for (size_t b = 0; b < test.lengths.size(); ++b) {
        Input part = alone(input, b);
        const Output single = run(runner, alone(test, b), part);
        check(std::memcmp(single.out.data(), &whole.out[input.cu_seqlens[b] * row],
                          test.lengths[b] * row * sizeof(float)) == 0,
              concat(what, ": sequence ", b, " of length ", test.lengths[b], " has other bits alone"));
      }
    }
  }
}

/** NaN in one sequence reaches all of its results and nobody else's. */
inline void test_nan_neighbour(const std::vector<Runner>& runners, ComputeType compute) {
  for (int32_t bad_length : {1, 15, 16, 17, 129, 600}) {
    Case test = {concat("NaN in ", bad_length), {40, bad_length, 7, 65}, {2, 1, 20}, {}};
    test.compute = compute;
    Input input = make_input(test, 300 + bad_length);
    const int64_t row = test.shape.heads * test.shape.head_dim + kOtherCols;
    for (const Runner& runner : runners) {
      const Output clean = run(runner, test, input);
      Input dirty = input;
      std::fill(dirty.qkv.begin() + dirty.cu_seqlens[1] * dirty.stride,
                dirty.qkv.begin() + dirty.cu_seqlens[2] * dirty.stride, std::nanf(""));
      const Output output = run(runner, test, dirty);
      for (int64_t t = 0; t < input.cu_seqlens.back(); ++t) {
        const bool inside = t >= input.cu_seqlens[1] && t < input.cu_seqlens[2];
        const float* got = &output.out[t * row];
        check(inside ? std::isnan(got[0]) && std::isnan(got[row - kOtherCols - 1])
                     : std::memcmp(got, &clean.out[t * row], row * sizeof(float)) == 0,
              concat(test.name, " on ", runner.name(), ": token ", t));
      }
    }
  }
}

}  // namespace padless::test
