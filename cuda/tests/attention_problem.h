// One attention over random packed sequences, run on the device and compared with fp64 loops.
#pragma once

#include <cstring>
#include <numeric>

#include "cuda/tests/kernel_support.h"

namespace padless::cuda::test {

struct AttentionCase {
  std::vector<int32_t> lengths;
  int64_t head_dim = 64, heads = 2, kv_heads = 2;
  AttentionSpan span = {};
  bool alibi = false, relative = false;
  bool position_keys = false, position_queries = false;  // disentangled
  int32_t reach = 5;
  bool irregular_rows = false;  // distances share rows and skip some
  bool blind_head = false;      // relative bias of head 0: -inf at every distance
  AttentionPlanOptions options = {.strategy = AttentionStrategy::kSingle};
  int64_t spare_rows = 0, out_gap = 0;
  int32_t outside =
      0;  // the device's prefix sums begin so far before the first token and end so far past the last
  int nan_sequence = -1;
  bool simt = false;  // the kernel without tensor cores
  int compute_capability = 80;
  bool negative_scale = false;
  std::vector<int32_t> key_counts = {};  // none: all tokens are keys
  bool twice = false;                    // a second launch behind the first, which it may overlap
  std::string name() const {
    std::string text = concat(
        simt ? "simt " : "", "attention sm_", compute_capability, " d", head_dim, " heads ", heads, "/",
        kv_heads, " causal ", span.causal, " window ", span.window_left, ",", span.window_right,
        alibi ? " alibi" : "", relative ? " relative" : "", position_keys ? " position keys" : "",
        position_queries ? " position queries" : "", " reach ", reach, irregular_rows ? " irregular" : "",
        negative_scale ? " negative scale" : "", blind_head ? " blind head" : "", " strategy ",
        static_cast<int>(options.strategy), " NaN ", nan_sequence, " outside ", outside, " lengths");
    for (int32_t length : lengths) text += concat(" ", length);
    for (int32_t count : key_counts) text += concat(" of ", count);
    return text;
  }
};

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
        relative_(relative_table(c, random_)),
        rows_(relative_rows(c, random_)),
        position_keys_(rows_.back() + 1, width_, 8),
        position_queries_(rows_.back() + 1, width_, 16),
        device_slopes_(slopes_),
        device_relative_(relative_),
        device_rows_(rows_) {
    position_keys_.fill(random_, -2, 2);
    position_queries_.fill(random_, -2, 2);
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

  int64_t begin(size_t sequence) const { return sums_[sequence]; }
  /** Sequence `from` of `other`, of the same length, becomes sequence `to` of this. */
  void copy_sequence(size_t to, Problem& other, size_t from) {
    for (int64_t t = 0; t < c_.lengths[to]; t++) {
      for (int64_t i = 0; i < qkv_.cols(); i++) {
        qkv_.at(begin(to) + t, i) = other.qkv_.at(other.begin(from) + t, i);
      }
    }
    qkv_.upload();
  }

  Outcome<T> run() {
    const std::string name = c_.name();
    const DeviceProperties device{3, c_.compute_capability, 163 * 1024, 164 * 1024, 65536};
    const AttentionShape shape{c_.heads, c_.kv_heads, c_.head_dim};
    auto plan = plan_attention(sums_, shape, c_.span, device, c_.options);
    check_ok(plan.status(), name);
    if (!plan.is_ok()) return {};
    DeviceBuffer<AttentionTile> tiles(plan.value().tiles);
    std::vector<int32_t> device_sums = sums_;
    device_sums.front() -= c_.outside;
    device_sums.back() += c_.outside;
    DeviceBuffer<int32_t> cu_seqlens(device_sums);
    DeviceBuffer<int32_t> key_counts(c_.key_counts);
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
    if (!c_.key_counts.empty()) args.key_counts = key_counts.data();
    args.scale = scale();
    args.span = c_.span;
    if (c_.alibi) args.bias.alibi_slopes = device_slopes_.data();
    if (c_.relative) args.bias.relative = device_relative_.data();
    if (c_.position_keys) args.bias.position_keys = position_keys_.view();
    if (c_.position_queries) args.bias.position_queries = position_queries_.view();
    args.bias.relative_rows = device_rows_.data();
    args.bias.reach = c_.reach;
    // The second of a persistent plan finds the counter as the first has left it.
    const int launches = c_.twice || plan.value().persistent_blocks > 0 ? 2 : 1;
    for (int launch = 0; launch < launches; launch++) {
      check_ok(c_.simt ? simt_attention(args, plan.value(), tiles.data(), nullptr)
                       : varlen_attention(args, plan.value(),
                                          {tiles.data(), counter.data(), &streams.value()}, nullptr),
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
    values_ = qkv_.values();
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
  const double* values(int64_t token, int64_t column) const {
    return values_.data() + token * qkv_.cols() + column;
  }
  static std::vector<int32_t> relative_rows(const AttentionCase& c, Random& random) {
    std::vector<int32_t> rows{0};
    for (int32_t d = -c.reach; d < c.reach; d++) {
      rows.push_back(rows.back() + (c.irregular_rows ? static_cast<int32_t>(random.integer(0, 3)) : 1));
    }
    return rows;
  }
  static std::vector<float> relative_table(const AttentionCase& c, Random& random) {
    const int64_t distances = 2 * c.reach + 1;
    auto table = random.vector<float>(static_cast<size_t>(c.heads * distances));
    if (c.blind_head) std::fill_n(table.begin(), distances, -INFINITY);
    return table;
  }
  float scale() const {
    return (c_.negative_scale ? -1.0f : 1.0f) / std::sqrt(static_cast<float>(c_.head_dim));
  }

  void compare_row(const Outcome<T>& outcome, ErrorRule<T>& rule, ErrorRule<float>& lse_rule, size_t b,
                   int64_t head, int64_t i) {
    const int64_t begin = sums_[b], kv_head = head / (c_.heads / c_.kv_heads), d = c_.head_dim;
    std::vector<double> scores;
    double maximum = -INFINITY, sum = 0;
    const double* const query = values(begin + i, head * d);
    for (int64_t j = 0; j < (c_.key_counts.empty() ? c_.lengths[b] : c_.key_counts[b]); j++) {
      const bool seen = !(c_.span.causal && j > i) &&
                        !(c_.span.window_left >= 0 && i - j > c_.span.window_left) &&
                        !(c_.span.window_right >= 0 && j - i > c_.span.window_right);
      double score = 0;
      const int64_t from = std::clamp<int64_t>(i - j, -c_.reach, c_.reach),
                    row = rows_[static_cast<size_t>(from + c_.reach)];
      const double* const key = values(begin + j, width_ + kv_head * d);
      for (int64_t x = 0; x < d; x++) {
        const double q = query[x], k = key[x];
        score += q * k;
        if (c_.position_keys) score += q * position_keys_.value(row, head * d + x);
        if (c_.position_queries) score += k * position_queries_.value(row, head * d + x);
      }
      score *= scale();
      if (c_.alibi) score -= slopes_[static_cast<size_t>(head)] * static_cast<double>(std::abs(i - j));
      if (c_.relative) {
        score += relative_[static_cast<size_t>(head * (2 * c_.reach + 1) + c_.reach - from)];
      }
      scores.push_back(seen ? score : -INFINITY);
      maximum = std::max(maximum, scores.back());
    }
    for (double& score : scores) sum += score = maximum == -INFINITY ? 0 : std::exp(score - maximum);
    if (sum == 0) sum = 1;  // no key is seen: zeros, and an lse of -inf
    for (int64_t x = 0; x < d; x++) {
      double exact = 0,
             same_precision = 0;  // the latter rounds the probabilities, as the tensor cores' operand
      for (size_t j = 0; j < scores.size(); j++) {
        const double value = *values(begin + static_cast<int64_t>(j), width_ + kv_width_ + kv_head * d + x);
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
  std::vector<double> values_;  // of qkv_, while results are compared
  Random random_;
  std::vector<float> slopes_, relative_;
  std::vector<int32_t> rows_;
  TestMatrix<T> position_keys_, position_queries_;
  DeviceBuffer<float> device_slopes_, device_relative_;
  DeviceBuffer<int32_t> device_rows_;
};

template <class T>
Outcome<T> run_case(const AttentionCase& c) {
  Problem<T> problem(c);
  Outcome<T> outcome = problem.run();
  problem.compare(outcome);
  return outcome;
}

inline const AttentionPlanOptions kSingle{.strategy = AttentionStrategy::kSingle},
    kGrouped{.strategy = AttentionStrategy::kGrouped},
    kPersistent{.strategy = AttentionStrategy::kPersistent}, kAuto{.strategy = AttentionStrategy::kAuto};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace padless::cuda::test
