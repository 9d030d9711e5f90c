#include "lib/engine/cpu/attention/plan.h"

#include <algorithm>

namespace padless {
namespace {

/** Tasks per thread: enough that the slowest thread ends soon after the others. */
constexpr double kTasksPerThread = 8;
/** Multiply-adds of a few microseconds: handing out less costs more than it balances. */
constexpr double kLeastTask = 200'000;
/** Queries of a task that share one packing of keys and values. */
constexpr int32_t kLeastQueries = 4 * kQueryAlignment;

/** Multiply-adds of one KV head of a sequence, with what reading a token costs whatever its partners. */
double head_cost(int64_t length, const AttentionShape& shape) {
  const auto queries = static_cast<double>(length * (shape.heads / shape.kv_heads));
  return 2.0 * queries * static_cast<double>(shape.head_dim * (length + 16));
}

class Planner {
 public:
  Planner(const AttentionShape& shape, double target, std::vector<AttentionTask>* tasks)
      : shape_(shape), target_(target), tasks_(tasks), kv_heads_(static_cast<int32_t>(shape.kv_heads)) {}

  void add(int32_t sequence, int32_t length) {
    if (length == 0) return;
    const double cost = head_cost(length, shape_);
    if (cost * kv_heads_ <= target_) {
      join(sequence, length, cost * kv_heads_);
    } else if (cost <= target_) {
      split_heads(sequence, length, cost);
    } else {
      split_queries(sequence, length, cost);
    }
  }

 private:
  void join(int32_t sequence, int32_t length, double cost) {
    if (joinable_ && tasks_->back().cost + cost <= target_) {
      AttentionTask& last = tasks_->back();
      last.last_sequence = sequence + 1;
      last.last_query = std::max(last.last_query, length);
      last.cost += cost;
      return;
    }
    tasks_->push_back({sequence, sequence + 1, 0, kv_heads_, 0, length, cost});
    joinable_ = true;
  }

  void split_heads(int32_t sequence, int32_t length, double cost) {
    joinable_ = false;
    const auto heads = std::max<int32_t>(1, static_cast<int32_t>(target_ / cost));
    for (int32_t first = 0; first < kv_heads_; first += heads) {
      const int32_t last = std::min(first + heads, kv_heads_);
      tasks_->push_back({sequence, sequence + 1, first, last, 0, length, cost * (last - first)});
    }
  }

  void split_queries(int32_t sequence, int32_t length, double cost) {
    joinable_ = false;
    const auto wanted = static_cast<int32_t>(target_ / cost * length);
    const int32_t step = std::max(wanted / kQueryAlignment * kQueryAlignment, kLeastQueries);
    for (int32_t head = 0; head < kv_heads_; ++head) {
      for (int32_t first = 0, last = 0; first < length; first = last) {
        // A rest below the alignment stays with its neighbour: kernels cut the two as one.
        last = length - first - step < kQueryAlignment ? length : first + step;
        tasks_->push_back(
            {sequence, sequence + 1, head, head + 1, first, last, cost * (last - first) / length});
      }
    }
  }

  const AttentionShape& shape_;
  const double target_;
  std::vector<AttentionTask>* const tasks_;
  const int32_t kv_heads_;
  bool joinable_ = false;  // the last task holds whole sequences, up to the one before
};

}  // namespace

AttentionPlan plan_attention(std::span<const int32_t> cu_seqlens, const AttentionShape& shape, int threads) {
  AttentionPlan plan;
  plan.shape = shape;
  double total = 0;
  for (size_t b = 1; b < cu_seqlens.size(); ++b) {
    total += head_cost(cu_seqlens[b] - cu_seqlens[b - 1], shape) * static_cast<double>(shape.kv_heads);
  }
  Planner planner(shape, std::max(total / (kTasksPerThread * threads), kLeastTask), &plan.tasks);
  for (size_t b = 1; b < cu_seqlens.size(); ++b) {
    planner.add(static_cast<int32_t>(b) - 1, cu_seqlens[b] - cu_seqlens[b - 1]);
  }
  std::stable_sort(plan.tasks.begin(), plan.tasks.end(),
                   [](const AttentionTask& a, const AttentionTask& b) { return a.cost > b.cost; });
  return plan;
}

}  // namespace padless
