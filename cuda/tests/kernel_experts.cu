// route_experts, start_experts and add_expert against fp64.
#include <cmath>

#include "cuda/padless_experts.h"
#include "cuda/tests/kernel_support.h"

namespace padless::cuda::test {
namespace {

struct Routing {
  std::vector<int32_t> choices, list, counts;
  std::vector<float> scores, weights;
};

Routing route(const TestMatrix<float>& logits, int64_t chosen) {
  const auto rows = static_cast<size_t>(logits.rows()), experts = static_cast<size_t>(logits.cols());
  const size_t picks = rows * static_cast<size_t>(chosen);
  DeviceBuffer<int32_t> choices(picks), list(rows * experts), counts(experts);
  DeviceBuffer<float> scores(picks), weights(rows * experts);
  RouteExpertsArgs args;
  args.logits = logits.view();
  args.chosen = chosen;
  args.choices = choices.data();
  args.scores = scores.data();
  args.list = list.data();
  args.weights = weights.data();
  args.counts = counts.data();
  check_ok(route_experts(args, nullptr), "route_experts");
  return {choices.download(), list.download(), counts.download(), scores.download(), weights.download()};
}

/** The experts of the largest logits; of equals the first. */
std::vector<int64_t> best(TestMatrix<float>& logits, int64_t row, int64_t chosen) {
  std::vector<int64_t> order(static_cast<size_t>(logits.cols()));
  for (size_t e = 0; e < order.size(); e++) order[e] = static_cast<int64_t>(e);
  std::ranges::stable_sort(order,
                           [&](int64_t a, int64_t b) { return logits.value(row, a) > logits.value(row, b); });
  order.resize(static_cast<size_t>(chosen));
  return order;
}

void test_routing(int64_t rows, int64_t experts, int64_t chosen, bool ties) {
  const std::string name = concat("routing of ", rows, " rows to ", chosen, " of ", experts);
  Random random(static_cast<uint64_t>(rows + experts));
  TestMatrix<float> logits(rows, experts, 3);
  logits.fill(random, -3, 3);
  for (int64_t r = 0; ties && r < rows; r++) logits.at(r, experts - 1) = logits.at(r, 0) = 4.0f;
  logits.upload();
  const Routing got = route(logits, chosen);
  std::vector<std::vector<int64_t>> shares(static_cast<size_t>(experts));
  double error = 0;
  bool same = true;
  for (int64_t r = 0; r < rows; r++) {
    double sum = 0;
    for (int64_t e = 0; e < experts; e++) sum += std::exp(logits.value(r, e));
    const std::vector<int64_t> expected = best(logits, r, chosen);
    for (size_t i = 0; i < expected.size(); i++) {
      const size_t at = static_cast<size_t>(r * chosen) + i;
      same = same && got.choices[at] == expected[i];
      error = std::max(error, std::fabs(got.scores[at] - std::exp(logits.value(r, expected[i])) / sum));
      shares[static_cast<size_t>(expected[i])].push_back(r);
    }
  }
  for (size_t e = 0; e < shares.size(); e++) {
    same = same && got.counts[e] == static_cast<int32_t>(shares[e].size());
    for (size_t i = 0; same && i < shares[e].size(); i++) {
      const size_t at = e * static_cast<size_t>(rows) + i;
      same = got.list[at] == shares[e][i];
      const auto first = got.choices.begin() + shares[e][i] * chosen;
      const auto pick = std::find(first, first + chosen, static_cast<int32_t>(e)) - got.choices.begin();
      same = same && got.weights[at] == got.scores[static_cast<size_t>(pick)];
    }
  }
  check(same, name + ": choices and lists");
  check(error < 1e-6, concat(name, ": scores off by ", error));
}

template <class T>
void test_sum(int64_t rows, int64_t cols, int64_t gap) {
  const std::string name = concat("sum of experts ", type_name<T>(), " [", rows, ", ", cols, "] gap ", gap);
  Random random(static_cast<uint64_t>(rows * 31 + cols));
  TestMatrix<T> residual(rows, cols, gap), result(rows, cols, gap);
  TestMatrix<float> sum(rows, cols, gap);
  residual.fill(random);
  result.fill(random);
  const auto bias = random.vector<float>(static_cast<size_t>(cols));
  const auto weights = random.vector<float>(static_cast<size_t>(rows));
  std::vector<int32_t> list(static_cast<size_t>(rows), 0);
  const int64_t count = (rows + 1) / 2;  // every other row, the last first
  for (int64_t i = 0; i < count; i++) list[static_cast<size_t>(i)] = static_cast<int32_t>(rows - 1 - 2 * i);
  DeviceBuffer<float> device_bias(bias), device_weights(weights);
  DeviceBuffer<int32_t> device_list(list), device_count(std::vector<int32_t>{static_cast<int32_t>(count)});
  check_ok(start_experts({residual.view(), device_bias.data(), sum.view()}, nullptr), name);
  check_ok(
      add_expert({result.view(), device_list.data(), device_weights.data(), device_count.data(), sum.view()},
                 nullptr),
      name);
  sum.download();
  double error = 0;
  for (int64_t r = 0; r < rows; r++) {
    const int64_t i = (rows - 1 - r) / 2;
    const bool listed = (rows - 1 - r) % 2 == 0;
    for (int64_t c = 0; c < cols; c++) {
      double expected = residual.value(r, c) + bias[static_cast<size_t>(c)];
      if (listed) expected += double{weights[static_cast<size_t>(i)]} * result.value(i, c);
      error = std::max(error, std::fabs(sum.value(r, c) - expected));
    }
  }
  check(error < 1e-6, concat(name, ": off by ", error));
  check(sum.gaps_untouched(rows), name + ": nothing written outside");
}

void test_bad_input() {
  TestMatrix<float> logits(3, 4);
  RouteExpertsArgs args;
  args.logits = logits.view();
  args.chosen = 5;
  check_code(route_experts(args, nullptr), Code::kInvalidArgument, "more choices than experts");
  args.chosen = 2;
  check_code(route_experts(args, nullptr), Code::kInvalidArgument, "no arrays");
  TestMatrix<float> sum(3, 8);
  check_code(add_expert({sum.view(), nullptr, nullptr, nullptr, sum.view()}, nullptr), Code::kInvalidArgument,
             "no list");
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  for (int64_t rows : {0, 1, 31, 257, 600}) {
    test::test_routing(rows, 8, 2, false);
    test::test_routing(rows, 5, 5, false);
    test::test_routing(rows, 3, 1, true);
  }
  for (int64_t rows : {1, 9, 40}) {
    test::test_sum<float>(rows, 36, 0);
    test::test_sum<bf16>(rows, 264, 8);
    test::test_sum<fp16>(rows, 33, 1);
  }
  test::test_bad_input();
  return test::report("kernel_experts");
}
