// varlen_attention against fp64: lengths, head dims, masks, biases, strategies, and the known traps.
#include <cstring>
#include <numeric>

#include "cuda/tests/kernel_support.h"

namespace padless::cuda::test {
namespace {

struct AttentionCase {
  std::vector<int32_t> lengths;
  int64_t head_dim = 64, heads = 2, kv_heads = 2;
  AttentionSpan span = {};
  bool alibi = false, relative = false;
  AttentionPlanOptions options = {.strategy = AttentionStrategy::kSingle};
  int64_t spare_rows = 0, out_gap = 0;
  int nan_sequence = -1;
  std::string name() const {
    std::string text =
        concat("attention d", head_dim, " heads ", heads, "/", kv_heads, " causal ", span.causal, " window ",
               span.window_left, ",", span.window_right, alibi ? " alibi" : "", relative ? " relative" : "",
               " strategy ", static_cast<int>(options.strategy), " NaN ", nan_sequence, " lengths");
    for (int32_t length : lengths) text += concat(" ", length);
    return text;
  }
};

constexpr int kReach = 5;

template <class T>
struct Outcome {
  std::vector<T> out;
  std::vector<float> lse;
};

template <class T>
class Problem {
 public:
  explicit Problem(const AttentionCase& c)
      : c_(c),
        sums_{0},
        tokens_(std::accumulate(c.lengths.begin(), c.lengths.end(), int64_t{0})),
        width_(c.heads * c.head_dim),
        kv_width_(c.kv_heads * c.head_dim),
        qkv_(tokens_, width_ + 2 * kv_width_, 0, 0, c.spare_rows),
        random_(static_cast<uint64_t>(tokens_ + c.head_dim)),
        slopes_(random_.vector<float>(static_cast<size_t>(c.heads), 0.01f, 0.5f)),
        relative_(random_.vector<float>(static_cast<size_t>(c.heads * (2 * kReach + 1)))),
        device_slopes_(slopes_),
        device_relative_(relative_) {
    for (int32_t length : c.lengths) sums_.push_back(sums_.back() + length);
    qkv_.fill(random_, -2, 2);
    if (c.nan_sequence >= 0) {
      for (int64_t t = sums_[static_cast<size_t>(c.nan_sequence)];
           t < sums_[static_cast<size_t>(c.nan_sequence) + 1]; t++) {
        for (int64_t i = 0; i < qkv_.cols(); i++) qkv_.at(t, i) = TestMatrix<T>::nan();
      }
      qkv_.upload();
    }
  }

  Outcome<T> run() {
    const std::string name = c_.name();
    const DeviceProperties device{3, 80, 163 * 1024, 164 * 1024, 65536};
    const AttentionShape shape{c_.heads, c_.kv_heads, c_.head_dim};
    auto plan = plan_attention(sums_, shape, c_.span, device, c_.options);
    check_ok(plan.status(), name);
    if (!plan.is_ok()) return {};
    DeviceBuffer<AttentionTile> tiles(plan.value().tiles);
    DeviceBuffer<int32_t> cu_seqlens(sums_);
    DeviceBuffer<uint32_t> counter(std::vector<uint32_t>{0});
    DeviceBuffer<float> lse(static_cast<size_t>(c_.heads * tokens_));
    TestMatrix<T> out(tokens_, width_, c_.out_gap, 0, c_.spare_rows);
    auto streams = AttentionStreams::create(plan.value().streams);
    check_ok(streams.status(), name);
    VarlenAttentionArgs args;
    args.shape = shape;
    args.q = qkv_.view().columns(0, width_);
    args.k = qkv_.view().columns(width_, kv_width_);
    args.v = qkv_.view().columns(width_ + kv_width_, kv_width_);
    args.out = out.view();
    args.lse = lse.data();
    args.lse_stride = tokens_;
    args.cu_seqlens = cu_seqlens.data();
    args.scale = scale();
    args.span = c_.span;
    if (c_.alibi) args.bias.alibi_slopes = device_slopes_.data();
    if (c_.relative) args.bias.relative = device_relative_.data(), args.bias.reach = kReach;
    for (int repeat = 0; repeat < 2; repeat++) {  // the second finds the counter as the first has left it
      check_ok(
          varlen_attention(args, plan.value(), {tiles.data(), counter.data(), &streams.value()}, nullptr),
          name);
    }
    out.download();
    check(out.gaps_untouched(tokens_), name + ": nothing written outside");
    Outcome<T> outcome{{}, lse.download()};
    for (int64_t t = 0; t < tokens_; t++) {
      for (int64_t i = 0; i < width_; i++) outcome.out.push_back(out.at(t, i));
    }
    return outcome;
  }

  void compare(const Outcome<T>& outcome) {
    ErrorRule<T> rule;
    ErrorRule<float> lse_rule;
    for (size_t b = 0; b < c_.lengths.size(); b++) {
      if (static_cast<int>(b) == c_.nan_sequence) continue;
      for (int64_t head = 0; head < c_.heads; head++) {
        for (int64_t i = 0; i < c_.lengths[b]; i++) compare_row(outcome, rule, lse_rule, b, head, i);
      }
    }
    rule.check(c_.name());
    lse_rule.check(c_.name() + ": lse");
  }

 private:
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(c_.head_dim)); }

  void compare_row(const Outcome<T>& outcome, ErrorRule<T>& rule, ErrorRule<float>& lse_rule, size_t b,
                   int64_t head, int64_t i) {
    const int64_t begin = sums_[b], kv_head = head / (c_.heads / c_.kv_heads), d = c_.head_dim;
    std::vector<double> scores;
    double maximum = -INFINITY, sum = 0;
    for (int64_t j = 0; j < c_.lengths[b]; j++) {
      const bool seen = !(c_.span.causal && j > i) &&
                        !(c_.span.window_left >= 0 && i - j > c_.span.window_left) &&
                        !(c_.span.window_right >= 0 && j - i > c_.span.window_right);
      double score = 0;
      for (int64_t x = 0; x < d; x++)
        score += qkv_.value(begin + i, head * d + x) * qkv_.value(begin + j, width_ + kv_head * d + x);
      score *= scale();
      if (c_.alibi) score -= slopes_[static_cast<size_t>(head)] * static_cast<double>(std::abs(i - j));
      if (c_.relative) {
        const int64_t distance = std::clamp<int64_t>(j - i, -kReach, kReach) + kReach;
        score += relative_[static_cast<size_t>(head * (2 * kReach + 1) + distance)];
      }
      scores.push_back(seen ? score : -INFINITY);
      maximum = std::max(maximum, scores.back());
    }
    for (double& score : scores) sum += score = std::exp(score - maximum);
    for (int64_t x = 0; x < d; x++) {
      double exact = 0,
             same_precision = 0;  // the latter rounds the probabilities, as the tensor cores' operand
      for (size_t j = 0; j < scores.size(); j++) {
        const double value =
            qkv_.value(begin + static_cast<int64_t>(j), width_ + kv_width_ + kv_head * d + x);
        exact += scores[j] / sum * value;
        same_precision += rounded<T>(scores[j] / sum) * value;
      }
      const T actual = outcome.out[static_cast<size_t>((begin + i) * width_ + head * d + x)];
      rule.add(static_cast<double>(static_cast<float>(actual)), rounded<T>(same_precision), exact);
    }
    const double lse = maximum + std::log(sum);
    lse_rule.add(outcome.lse[static_cast<size_t>(head * tokens_ + begin + i)], lse + 1e-5, lse);
  }

  AttentionCase c_;
  std::vector<int32_t> sums_;
  int64_t tokens_, width_, kv_width_;
  TestMatrix<T> qkv_;
  Random random_;
  std::vector<float> slopes_, relative_;
  DeviceBuffer<float> device_slopes_, device_relative_;
};

template <class T>
Outcome<T> run_case(const AttentionCase& c) {
  Problem<T> problem(c);
  Outcome<T> outcome = problem.run();
  problem.compare(outcome);
  return outcome;
}

const AttentionPlanOptions kGrouped{.strategy = AttentionStrategy::kGrouped},
    kPersistent{.strategy = AttentionStrategy::kPersistent};

template <class T>
void test_head_dims() {
  for (int64_t head_dim : kAttentionHeadDims) {
    run_case<T>({.lengths = {65, 0, 1, 17, 130}, .head_dim = head_dim, .heads = 1, .kv_heads = 1});
    run_case<T>({.lengths = {33, 64, 65, 128, 140},
                 .head_dim = head_dim,
                 .heads = 1,
                 .kv_heads = 1,
                 .options = kGrouped});
  }
}

void test_lengths() {
  for (const AttentionPlanOptions& options :
       {AttentionPlanOptions{.strategy = AttentionStrategy::kSingle}, kGrouped, kPersistent}) {
    run_case<bf16>(
        {.lengths = {1, 15, 16, 17, 63, 64, 65, 127, 128, 129}, .head_dim = 32, .options = options});
    run_case<bf16>({.lengths = {}, .options = options});
    run_case<bf16>({.lengths = {0, 0}, .options = options});
    run_case<bf16>({.lengths = {0, 257, 0, 3}, .heads = 1, .kv_heads = 1, .options = options});
  }
  run_case<bf16>({.lengths = {20, 70}, .options = {.strategy = AttentionStrategy::kAuto}});
  run_case<bf16>({.lengths = {20, 70},
                  .options = {.strategy = AttentionStrategy::kGrouped, .bucket_edges = {}, .streams = 1}});
}

void test_spans_and_biases() {
  for (const AttentionPlanOptions& options :
       {AttentionPlanOptions{.strategy = AttentionStrategy::kSingle}, kGrouped}) {
    for (const AttentionSpan& span :
         {AttentionSpan{.causal = true}, AttentionSpan{.window_left = 8, .window_right = 8},
          AttentionSpan{.window_left = 0, .window_right = 0},
          AttentionSpan{.causal = true, .window_left = 70}, AttentionSpan{.window_right = 3}}) {
      run_case<bf16>({.lengths = {50, 128, 201},
                      .head_dim = 32,
                      .heads = 1,
                      .kv_heads = 1,
                      .span = span,
                      .options = options});
    }
    run_case<bf16>({.lengths = {50, 110}, .heads = 4, .kv_heads = 2, .alibi = true, .options = options});
    run_case<fp16>({.lengths = {50, 110}, .heads = 3, .kv_heads = 1, .relative = true, .options = options});
    run_case<fp16>({.lengths = {70},
                    .heads = 2,
                    .kv_heads = 1,
                    .span = {.causal = true},
                    .alibi = true,
                    .relative = true,
                    .options = options});
  }
}

// One NaN sequence must not poison its neighbours, nor rows of a capacity above T, nor may a tile's store
// reach them.
void test_isolation() {
  for (const AttentionPlanOptions& options :
       {AttentionPlanOptions{.strategy = AttentionStrategy::kSingle}, kGrouped, kPersistent}) {
    run_case<bf16>({.lengths = {37, 20, 70}, .options = options, .nan_sequence = 1});
    run_case<bf16>({.lengths = {37, 70}, .options = options, .spare_rows = 80});
  }
  run_case<bf16>({.lengths = {37, 70}, .out_gap = 3});  // misaligned output rows
}

// The same sequence alone and in a batch, and the same batch twice: the same bits for one kernel.
void test_bitwise() {
  const AttentionCase batch{.lengths = {90, 40, 66}};
  const auto first = run_case<bf16>(batch), second = run_case<bf16>(batch);
  const auto equal = [](const auto& a, const auto& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0);
  };
  check(equal(first.out, second.out) && equal(first.lse, second.lse), "the same batch twice");
  AttentionCase persistent = batch;
  persistent.options = kPersistent;
  check(equal(first.out, run_case<bf16>(persistent).out), "persistent and single launches agree");
}

void test_bad_input() {
  const std::vector<int32_t> good{0, 4}, falling{0, 4, 3}, late{1, 4};
  const DeviceProperties device{};
  const auto expect = [&](Code code, const char* what, const std::vector<int32_t>& sums, AttentionShape shape,
                          AttentionPlanOptions options = {}) {
    check_code(plan_attention(sums, shape, {}, device, options).status(), code, what);
  };
  expect(Code::kOk, "good", good, {2, 1, 64});
  expect(Code::kInvalidArgument, "falling", falling, {2, 1, 64});
  expect(Code::kInvalidArgument, "late start", late, {2, 1, 64});
  expect(Code::kInvalidArgument, "empty", {}, {2, 1, 64});
  expect(Code::kInvalidArgument, "heads", good, {3, 2, 64});
  expect(Code::kUnsupported, "head dim", good, {2, 1, 48});
  expect(Code::kInvalidArgument, "streams", good, {2, 1, 64}, {.streams = 0});
  TestMatrix<bf16> q(4, 64);
  VarlenAttentionArgs args;
  args.shape = {1, 1, 64};
  args.q = args.k = args.v = args.out = q.view();
  check_code(varlen_attention(args, plan_attention(good, args.shape, {}, device).take(), {}, nullptr),
             Code::kInvalidArgument, "no tiles");
  args.k.dtype = DType::kF16;
  check_code(varlen_attention(args, {}, {}, nullptr), Code::kInvalidArgument, "dtype of k");
  args.k = args.q;
  args.k.stride = 65;
  check_code(varlen_attention(args, {}, {}, nullptr), Code::kInvalidArgument, "misaligned k");
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_head_dims<bf16>();
  test::test_head_dims<fp16>();
  test::test_lengths();
  test::test_spans_and_biases();
  test::test_isolation();
  test::test_bitwise();
  test::test_bad_input();
  return test::report("kernel_attention");
}
