// CPU attention against a double-precision reference, and what must not change its bits.
//
//   attention_test [seed] [most tokens of a case: for emulated processors]
#include <numeric>

#include "test/native/attention_case.h"

namespace padless::test {
namespace {

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
  const int64_t most_tokens = argc > 2 ? std::atoll(argv[2]) : std::numeric_limits<int64_t>::max();
  std::vector<Case> small = cases();
  const size_t left_out = std::erase_if(small, [&](const Case& test) {
    return std::accumulate(test.lengths.begin(), test.lengths.end(), int64_t{0}) > most_tokens;
  });
  if (left_out > 0)
    std::printf("SKIP %zu cases of more than %lld tokens\n", left_out, static_cast<long long>(most_tokens));
  test_plan();
  test_empty();
  test_refusals();
  test_against_reference(small, 0);
  test_bits(all_runners(1), small, 100);
  if (left_out == 0) test_repeats();
  test_nan_neighbour(all_runners(2), padless::ComputeType::kF32);
  return finish();
}
