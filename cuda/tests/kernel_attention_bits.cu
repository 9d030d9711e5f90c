// varlen_attention, bit by bit: run again, alone and in a batch, in another order, by another launch. And the
// lengths of FlashAttention-3's variable-length tests.
#include <map>

#include "cuda/tests/attention_bits.h"

namespace padless::cuda::test {
namespace {

// For every strategy.
template <class T>
void test_alone_and_permuted(int64_t head_dim) {
  for (const AttentionPlanOptions& options : {kSingle, kGrouped, kPersistent, kAuto}) {
    check_alone_and_permuted<T>({.lengths = {90, 40, 66, 140, 0, 17},
                                 .head_dim = head_dim,
                                 .heads = 2,
                                 .kv_heads = 1,
                                 .options = options},
                                {3, 5, 0, 4, 2, 1});
  }
}

// In whatever order blocks and warps run: the same bits.
void test_repeats(const Effort& effort) {
  const AttentionCase c{.lengths = {90, 17, 66}, .head_dim = 32, .heads = 1, .kv_heads = 1};
  for (const AttentionPlanOptions& options : {kSingle, kGrouped, kPersistent}) {
    AttentionCase each = c;
    each.options = options;
    Problem<bf16> problem(each);
    const auto first = problem.run();
    problem.compare(first);
    bool same = true;
    for (int repeat = 0; repeat < effort.repeats; repeat++) {
      const auto again = run_in_another_order(problem);
      same &= same_bits(first.out, again.out) && same_bits(first.lse, again.lse);
    }
    check(same, each.name() + concat(": ", effort.repeats, " runs"));
  }
}

void test_launches_agree() {
  const AttentionCase single{.lengths = {90, 40, 66}};
  AttentionCase persistent = single;
  persistent.options = kPersistent;
  const auto one = run_case<bf16>(single), other = run_case<bf16>(persistent);
  check(same_bits(one.out, other.out) && same_bits(one.lse, other.lse),
        "persistent and single launches agree");
}

void test_padded_plans() {
  const std::vector<int32_t> lengths{70, 0, 17, 130, 64};
  for (const AttentionPlanOptions& options : {kSingle, kGrouped, kPersistent}) {
    check_padded({.lengths = lengths, .head_dim = 32, .options = options});
  }
  check_padded({.lengths = lengths, .head_dim = 24, .options = kGrouped, .simt = true});
  check_padded({.lengths = lengths,
                .head_dim = 32,
                .position_keys = true,
                .position_queries = true,
                .options = kGrouped});
}

/** Batches that fit a capacity and need the same kernels have the same launches. */
void test_padded_plans_agree() {
  Random random(11);
  const AttentionShape shape{2, 2, 64};
  for (AttentionPlanOptions options : {kSingle, kGrouped, kAuto}) {
    options.token_capacity = 768;
    options.sequence_capacity = 32;
    std::map<std::vector<int>, AttentionPlan> known;
    for (int batch = 0; batch < 400; batch++) {
      std::vector<int32_t> sums{0};
      const int64_t longest = int64_t{1} << random.integer(0, 9);
      while (sums.size() <= 32) {
        const int64_t length = random.integer(0, longest);
        if (sums.back() + length > 768) break;
        sums.push_back(sums.back() + static_cast<int32_t>(length));
      }
      const AttentionPlan plan = plan_attention(sums, shape, {}, {}, options).take();
      std::vector<int> kernels;
      for (const AttentionGroup& group : plan.groups) kernels.push_back(group.kernel.max_keys);
      const AttentionPlan& first = known.try_emplace(kernels, plan).first->second;
      check(plan.groups == first.groups && plan.tiles.size() == first.tiles.size() &&
                plan.streams == first.streams &&
                static_cast<int64_t>(plan.tiles.size()) <= first.tile_capacity,
            concat("the launches of batch ", batch));
    }
    check(known.size() > 1 || options.strategy == AttentionStrategy::kSingle, "several kinds of batches");
  }
}

// The lengths at which tiles of 16, 64, 128 and 256 begin and end, each between neighbours.
void test_length_grid(const Effort& effort) {
  const std::vector<int32_t> lengths{0,   1,   15,  16,  17,  63,  64,  65,  127, 128,  129, 255,
                                     256, 257, 352, 353, 384, 385, 511, 512, 513, 1023, 1024};
  for (size_t i = 0; i < lengths.size(); i++) {
    if (lengths[i] > effort.longest) continue;
    const int32_t before = lengths[i * 7 % 9], after = lengths[i * 5 % 8];
    run_case<bf16>({.lengths = {before, lengths[i], after},
                    .head_dim = 32,
                    .heads = 1,
                    .kv_heads = 1,
                    .options = i % 2 == 0 ? kGrouped : kSingle});
  }
}

// FlashAttention-3's varlen pairs, as two sequences of a batch: self-attention has as many queries as keys.
void test_pairs(const Effort& effort) {
  const std::pair<int32_t, int32_t> pairs[] = {{1, 1},     {1, 3},     {511, 1},   {3, 513},   {64, 128},
                                               {113, 203}, {128, 217}, {307, 256}, {640, 128}, {1023, 1024}};
  for (const auto& [first, second] : pairs) {
    if (std::max(first, second) > effort.longest) continue;
    run_case<bf16>(
        {.lengths = {first, second}, .head_dim = 32, .heads = 1, .kv_heads = 1, .options = kPersistent});
  }
  run_case<bf16>(
      {.lengths = {2048}, .head_dim = 32, .heads = 1, .kv_heads = 1, .span = {.window_left = 100}});
}

}  // namespace
}  // namespace padless::cuda::test

int main(int argc, char**) {
  using namespace padless::cuda;
  const bool quick = argc > 1;
  const test::Effort effort = test::effort_of(quick);
  test::test_alone_and_permuted<bf16>(64);
  if (!quick) {
    for (int64_t head_dim : {32, 128}) test::test_alone_and_permuted<bf16>(head_dim);
    test::test_alone_and_permuted<fp16>(256);
  }
  test::test_repeats(effort);
  test::test_launches_agree();
  test::test_padded_plans();
  test::test_padded_plans_agree();
  test::test_length_grid(effort);
  test::test_pairs(effort);
  return test::report("kernel_attention_bits");
}
