// CPU attention against a double-precision reference, and what must not change its bits.
#include "lib/engine/cpu/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "test/native/cpu_test.h"

namespace padless::test {
namespace {

const std::vector<int32_t> kLengths = {0,   1,   2,   15,  16,  17,  31,  63,  64, 65, 127,
                                       128, 129, 255, 256, 257, 511, 512, 513, 12, 33};

struct Case {
  std::string name;
  std::vector<int32_t> lengths;
  AttentionShape shape;
  AttentionSpan span;
  float scale = 0;
  float deviation = 1;  // of q and k: large values make one key win
};

constexpr float kCanary = 12345.f;
/** Columns of the output's rows that belong to somebody else. */
constexpr int64_t kOtherCols = 3;

struct Output {
  std::vector<float> out;  // [T, heads * dim + kOtherCols]
  std::vector<float> lse;  // [heads, T]
};

/** q, k and v interleaved as one QKV product leaves them. */
struct Input {
  std::vector<float> qkv;  // [T, (heads + 2 kv_heads) * dim]
  std::vector<int32_t> cu_seqlens;
  int64_t stride = 0;
};

Input make_input(const Case& test, uint64_t salt) {
  Input input;
  input.cu_seqlens = prefix_sums(test.lengths);
  input.stride = (test.shape.heads + 2 * test.shape.kv_heads) * test.shape.head_dim;
  input.qkv = normal_values(input.cu_seqlens.back() * input.stride, salt, test.deviation);
  return input;
}

/** The rows of one sequence of `input`, as a batch of their own. */
Input alone(const Input& input, size_t sequence) {
  const int32_t first = input.cu_seqlens[sequence];
  const int32_t last = input.cu_seqlens[sequence + 1];
  Input part;
  part.stride = input.stride;
  part.cu_seqlens = {0, last - first};
  part.qkv.assign(input.qkv.begin() + first * input.stride, input.qkv.begin() + last * input.stride);
  return part;
}

AttentionArgs make_args(const Case& test, Input& input, Output& output) {
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
  return args;
}

Output run(const CpuContext& context, const Case& test, Input& input) {
  Output output;
  const AttentionArgs args = make_args(test, input, output);
  PackedBatch batch;
  batch.cu_seqlens = input.cu_seqlens;
  const AttentionPlan plan = plan_attention(input.cu_seqlens, test.shape, context.threads);
  check_status(attention_cpu(context, plan, batch, args), Code::kOk, "", test.name);
  return output;
}

struct Reference {
  std::vector<double> out;    // [T, heads * dim]
  std::vector<double> lse;    // [heads, T]
  std::vector<double> bound;  // [T, heads]: error that fp32 scores may cause, relative to the largest value
};

Reference reference(const Case& test, const Input& input) {
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
        for (int64_t j = 0; j < length; ++j) {
          if (test.span.causal && j > i) continue;
          if (test.span.window_left >= 0 && i - j > test.span.window_left) continue;
          if (test.span.window_right >= 0 && j - i > test.span.window_right) continue;
          const float* k = &input.qkv[(begin + j) * input.stride + (heads + kv_head) * dim];
          double dot = 0;
          double size = 0;
          for (int64_t d = 0; d < dim; ++d) {
            dot += double{q[d]} * k[d];
            size += std::abs(double{q[d]} * k[d]);
          }
          scores[j] = dot * scale;
          top = std::max(top, scores[j]);
          magnitude = std::max(magnitude, size * std::abs(scale));
        }
        double sum = 0;
        for (double& score : scores) sum += score = std::exp(score - top);
        double* out = &result.out[(begin + i) * heads * dim + head * dim];
        double largest = 0;
        for (int64_t j = 0; j < length; ++j) {
          if (scores[j] == 0) continue;
          const float* v =
              &input.qkv[(begin + j) * input.stride + (heads + test.shape.kv_heads + kv_head) * dim];
          for (int64_t d = 0; d < dim; ++d) {
            out[d] += scores[j] / sum * v[d];
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

void compare(const std::string& what, const Case& test, const Reference& expected, const Output& got) {
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

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const std::vector<int32_t> some = {0, 1, 17, 64, 129, 3, 0, 40};
  for (int64_t dim : {8, 20, 32, 40, 64, 96, 128, 256}) {
    all.push_back({concat("dim ", dim), dim <= 64 ? kLengths : some, {2, 2, dim}, {}});
  }
  for (int64_t dim : {1, 5, 33}) all.push_back({concat("dim ", dim), some, {1, 1, dim}, {}});
  all.push_back({"causal", kLengths, {2, 2, 32}, {true, -1, -1}});
  all.push_back({"window 5, 3", kLengths, {2, 2, 20}, {false, 5, 3}});
  all.push_back({"window 64, 64", {700, 1300, 65, 12}, {1, 1, 16}, {false, 64, 64}});
  all.push_back({"window 0, 0", some, {2, 2, 8}, {false, 0, 0}});
  all.push_back({"window left only", kLengths, {1, 1, 16}, {false, 100, -1}});
  all.push_back({"causal window", {600, 1100, 17}, {2, 1, 24}, {true, 40, -1}});
  all.push_back({"8 heads share 2", kLengths, {8, 2, 16}, {}});
  all.push_back({"6 heads share 1, causal", some, {6, 1, 40}, {true, -1, -1}});
  all.push_back({"long", {1025, 2000}, {1, 1, 32}, {}});
  all.push_back({"own scale", some, {2, 2, 64}, {}, 0.7f});
  all.push_back({"negative scale", some, {1, 1, 32}, {}, -0.2f});
  all.push_back({"one key wins", kLengths, {1, 1, 64}, {}, 0, 6});
  return all;
}

void test_against_reference() {
  uint64_t salt = 0;
  for (const Case& test : cases()) {
    Input input = make_input(test, ++salt);
    const Reference expected = reference(test, input);
    for (const CpuContext& context : contexts(2)) {
      compare(concat(test.name, " on ", isa_name(context.isa)), test, expected, run(context, test, input));
    }
  }
}

void test_bits() {
  uint64_t salt = 100;
  for (const Case& test : cases()) {
    Input input = make_input(test, ++salt);
    const int64_t row = test.shape.heads * test.shape.head_dim + kOtherCols;
    for (const CpuContext& context : contexts(1)) {
      const std::string what = concat(test.name, " on ", isa_name(context.isa));
      const Output whole = run(context, test, input);
      for (int threads = 2; threads <= 4; ++threads) {
        CpuContext wider = context;
        wider.threads = threads;
        const Output again = run(wider, test, input);
        check(same_bits(whole.out, again.out) && same_bits(whole.lse, again.lse),
              concat(what, ": other bits with ", threads, " threads"));
      }
      for (size_t b = 0; b < test.lengths.size(); ++b) {
        Input part = alone(input, b);
        const Output single = run(context, test, part);
        check(std::memcmp(single.out.data(), &whole.out[input.cu_seqlens[b] * row],
                          test.lengths[b] * row * sizeof(float)) == 0,
              concat(what, ": sequence ", b, " of length ", test.lengths[b], " has other bits alone"));
      }
    }
  }
}

void test_repeats() {
  const Case test = {"repeats", {80, 307, 12, 1, 513}, {4, 4, 32}, {}};
  Input input = make_input(test, 200);
  for (const CpuContext& context : contexts(3)) {
    const Output first = run(context, test, input);
    for (int i = 0; i < 100; ++i) {
      check(same_bits(first.out, run(context, test, input).out),
            concat("repeat ", i, " on ", isa_name(context.isa)));
    }
  }
}

void test_nan_neighbour() {
  for (int32_t bad_length : {1, 15, 16, 17, 129, 600}) {
    const Case test = {concat("NaN in ", bad_length), {40, bad_length, 7, 65}, {2, 1, 20}, {}};
    Input input = make_input(test, 300 + bad_length);
    const int64_t row = test.shape.heads * test.shape.head_dim + kOtherCols;
    for (const CpuContext& context : contexts(2)) {
      const Output clean = run(context, test, input);
      Input dirty = input;
      std::fill(dirty.qkv.begin() + dirty.cu_seqlens[1] * dirty.stride,
                dirty.qkv.begin() + dirty.cu_seqlens[2] * dirty.stride, std::nanf(""));
      const Output output = run(context, test, dirty);
      for (int64_t t = 0; t < input.cu_seqlens.back(); ++t) {
        const bool inside = t >= input.cu_seqlens[1] && t < input.cu_seqlens[2];
        const float* got = &output.out[t * row];
        check(inside ? std::isnan(got[0]) && std::isnan(got[row - kOtherCols - 1])
                     : std::memcmp(got, &clean.out[t * row], row * sizeof(float)) == 0,
              concat(test.name, " on ", isa_name(context.isa), ": token ", t));
      }
    }
  }
}

/** Every query of every head belongs to exactly one task. */
void test_plan() {
  for (int threads : {1, 2, 3, 64}) {
    for (const AttentionShape& shape :
         {AttentionShape{12, 12, 32}, AttentionShape{8, 2, 64}, AttentionShape{1, 1, 256}}) {
      std::vector<int32_t> lengths = kLengths;
      lengths.push_back(5000);
      const std::vector<int32_t> cu_seqlens = prefix_sums(lengths);
      std::vector<int> seen(cu_seqlens.back() * shape.kv_heads);
      const AttentionPlan plan = plan_attention(cu_seqlens, shape, threads);
      double cost = std::numeric_limits<double>::infinity();
      for (const AttentionTask& task : plan.tasks) {
        check(task.cost <= cost, "tasks are not sorted by cost");
        check(task.first_query % kQueryAlignment == 0, "a task starts at an unaligned query");
        cost = task.cost;
        for (int32_t b = task.first_sequence; b < task.last_sequence; ++b) {
          for (int32_t head = task.first_head; head < task.last_head; ++head) {
            for (int32_t q = task.first_query; q < std::min(task.last_query, lengths[b]); ++q) {
              ++seen[(cu_seqlens[b] + q) * shape.kv_heads + head];
            }
          }
        }
      }
      check(std::all_of(seen.begin(), seen.end(), [](int count) { return count == 1; }),
            concat("a plan for ", threads, " threads misses or repeats a query"));
    }
  }
}

void test_empty() {
  for (const std::vector<int32_t>& lengths : {std::vector<int32_t>{}, {0}, {0, 0, 0}}) {
    const Case test = {concat(lengths.size(), " empty sequences"), lengths, {2, 2, 16}, {}};
    Input input = make_input(test, 400);
    for (const CpuContext& context : contexts(2)) run(context, test, input);
  }
}

void test_refusals() {
  const Case test = {"refusals", {5, 3}, {4, 2, 8}, {}};
  Input input = make_input(test, 500);
  Output output;
  const CpuContext context = contexts(1).back();
  PackedBatch batch;
  batch.cu_seqlens = input.cu_seqlens;
  const AttentionPlan plan = plan_attention(input.cu_seqlens, test.shape, 1);
  const auto refused = [&](const std::string& field, const auto& spoil) {
    AttentionArgs args = make_args(test, input, output);
    spoil(args);
    check_status(attention_cpu(context, plan, batch, args), Code::kInvalidArgument, field,
                 concat("bad ", field));
    check(output.out[0] == kCanary, concat("bad ", field, " wrote its output"));
  };
  refused("heads", [](AttentionArgs& args) { args.shape.heads = 0; });
  refused("kvHeads", [](AttentionArgs& args) { args.shape.kv_heads = 3; });
  refused("kvHeads", [](AttentionArgs& args) { args.shape.kv_heads = 0; });
  refused("headDim", [](AttentionArgs& args) { args.shape.head_dim = 0; });
  refused("shape", [](AttentionArgs& args) { args.shape.head_dim = 16; });
  refused("q", [](AttentionArgs& args) { args.q.rows -= 1; });
  refused("q", [](AttentionArgs& args) { args.q.cols -= 8; });
  refused("k", [](AttentionArgs& args) { args.k.stride = 8; });
  refused("k", [](AttentionArgs& args) { args.k.dtype = DType::kF16; });
  refused("v", [](AttentionArgs& args) { args.v.data = nullptr; });
  refused("out", [](AttentionArgs& args) { args.out.dtype = DType::kBF16; });
  refused("lse", [](AttentionArgs& args) { args.lse.cols -= 1; });
  refused("scale", [](AttentionArgs& args) { args.scale = std::nanf(""); });
  refused("windowLeft", [](AttentionArgs& args) { args.span.window_left = -2; });
  refused("windowRight", [](AttentionArgs& args) { args.span.window_right = -7; });
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless::test;
  start(argc, argv);
  test_plan();
  test_empty();
  test_refusals();
  test_against_reference();
  test_bits();
  test_repeats();
  test_nan_neighbour();
  return finish();
}
