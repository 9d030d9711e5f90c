// varlen_attention by the kernels of compute capability 9.0: which are chosen, against fp64, and bit by bit.
#include <array>

#include "cuda/attention/auto_plan.h"
#include "cuda/attention/sm90/exp2.cuh"
#include "cuda/tests/attention_bits.h"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda::test {
namespace {

AttentionCase on_hopper(std::vector<int32_t> lengths, int64_t head_dim, AttentionPlanOptions options) {
  AttentionCase c;
  c.lengths = std::move(lengths);
  c.head_dim = head_dim;
  c.heads = c.kv_heads = 1;
  c.options = std::move(options);
  c.compute_capability = 90;
  return c;
}

void test_choice() {
  const std::vector<int32_t> sums{0, 20, 90, 290, 700};
  const auto plan_for = [&](int compute_capability, int64_t head_dim, const AttentionPlanOptions& options) {
    DeviceProperties device{};
    device.sm_count = 132;
    device.compute_capability = compute_capability;
    return plan_attention(sums, {2, 1, head_dim}, {}, device, options).take();
  };
  for (int capability : {80, 86, 89, 100, 120}) {
    for (const AttentionGroup& group : plan_for(capability, 64, kAuto).groups) {
      check(!group.kernel.sm90, concat("no sm90 kernel for compute capability ", capability));
    }
  }
  for (int64_t head_dim : {16, 48, 256}) {
    for (const AttentionGroup& group : plan_for(90, head_dim, kAuto).groups) {
      check(!group.kernel.sm90, concat("no sm90 kernel for head dim ", head_dim));
    }
  }
  // max_keys, query_rows and blocks, the longest bucket first
  using Row = std::array<int, 3>;
  const auto expect = [&](int64_t head_dim, const AttentionPlanOptions& options, std::vector<Row> rows) {
    std::vector<Row> got;
    for (const AttentionGroup& group : plan_for(90, head_dim, options).groups) {
      check(group.kernel.sm90, concat("an sm90 kernel for head dim ", head_dim));
      got.push_back({group.kernel.max_keys, group.kernel.query_rows, group.blocks});
    }
    check(got == rows, concat("the kernels of head dim ", head_dim));
  };
  expect(64, kAuto, {{0, 128, 132}, {256, 128, 132}, {128, 64, 3 * 132}, {64, 64, 4 * 132}});
  expect(128, kAuto, {{0, 128, 132}, {128, 64, 2 * 132}, {64, 64, 3 * 132}});
  expect(64, kSingle, {{0, 128, 132}});
  check(plan_for(90, 64, kPersistent).persistent_blocks == 132, "a persistent block an SM");
}

// What `auto` is where something was measured; these rows are made up.
void test_measured_plans() {
  using enum AttentionStrategy;
  const std::vector<MeasuredPlan> measured = {
      {80, 108, {kSingle, {}, 1}}, {90, 114, {kPersistent, {}, 1}}, {90, 132, {kGrouped, {64, 256}, 2}}};
  const auto on = [&](int compute_capability, int sm_count, bool sm90, std::span<const MeasuredPlan> rows) {
    DeviceProperties device{};
    device.compute_capability = compute_capability;
    device.sm_count = sm_count;
    const AutoPlan plan = auto_plan(device, sm90, rows);
    return std::tuple(plan.strategy, plan.edges, plan.streams);
  };
  const auto row = [](AttentionStrategy strategy, std::array<int64_t, 3> edges, int streams) {
    return std::tuple(strategy, edges, streams);
  };
  check(on(80, 108, false, measured) == row(kSingle, {}, 1), "the device that was measured");
  check(on(80, 56, false, measured) == row(kSingle, {}, 1), "a part of it");
  check(on(90, 132, true, measured) == row(kGrouped, {64, 256}, 2), "of two rows the device's own");
  check(on(90, 120, true, measured) == row(kPersistent, {}, 1), "the nearest number of SMs");
  check(on(90, 132, false, measured) == row(kGrouped, {64, 128}, 4), "of other head dims no measurement");
  check(on(86, 84, false, measured) == row(kGrouped, {64, 128}, 4), "another architecture");
  check(on(90, 132, true, {}) == row(kGrouped, {64, 128, 256}, 4), "nothing measured");
}

// The unit of exp2_shared by index: 0 and 1 of eight are polynomials, 2 is not.
__global__ void exp2_of(const float* x, float* y, int count, int index) {
  wait_for_stream();
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
    y[i] = sm90::exp2_shared<2>(x[i], index);
  }
}

void test_exp2() {
  std::vector<float> values{0.0f, -0.5f, -1.0f, -126.0f, -127.0f, -128.0f, -1e30f, -INFINITY};
  for (int i = 0; i < 20000; i++) values.push_back(-125.0f * static_cast<float>(i) / 20000.0f);
  DeviceBuffer<float> x(values), y(values.size());
  for (int index : {0, 9, 2}) {
    check_ok(launch(exp2_of, {.grid = 1, .block = 128}, x.data(), y.data(), static_cast<int>(values.size()),
                    index),
             "exp2");
    const std::vector<float> result = y.download();
    double worst = 0;
    bool zeros = true;
    for (size_t i = 0; i < values.size(); i++) {
      if (values[i] <= -127.0f && index != 2) {
        zeros &= result[i] == 0.0f;
      } else if (values[i] >= -126.0f) {
        worst = std::max(worst, std::fabs(result[i] / std::exp2(static_cast<double>(values[i])) - 1.0));
      }
    }
    check(zeros && worst < 1.1e-4, concat("2^x of index ", index, ": relative error ", worst));
    check((worst > 1e-6) == (index != 2), concat("2^x of index ", index, " by the other unit: ", worst));
  }
}

// Every kernel of every head dim, around its edges.
template <class T>
void test_head_dims() {
  for (int64_t head_dim : {32, 64, 96, 128}) {
    for (AttentionCase c : {on_hopper({0, 1, 17, 64, 65, 128, 129, 200, 256}, head_dim, kAuto),
                            on_hopper({65, 0, 1, 130, 300}, head_dim, kSingle)}) {
      c.twice = true;
      run_case<T>(c);
    }
  }
}

// The lengths at which tiles begin and end, each between neighbours.
void test_length_grid(const Effort& effort, const std::vector<AttentionPlanOptions>& strategies) {
  const std::vector<int32_t> lengths{0,   1,   15,  16,  17,  63,  64,  65,  127, 128,  129, 255,
                                     256, 257, 352, 353, 384, 385, 511, 512, 513, 1023, 1024};
  for (const AttentionPlanOptions& options : strategies) {
    for (size_t i = 0; i < lengths.size(); i++) {
      if (lengths[i] > effort.longest) continue;
      run_case<bf16>(on_hopper({lengths[i * 7 % 9], lengths[i], lengths[i * 5 % 8]}, 32, options));
    }
    run_case<bf16>(on_hopper({}, 64, options));
    run_case<bf16>(on_hopper({0, 0}, 64, options));
  }
  // Short sequences in the kernel for more keys.
  run_case<bf16>(on_hopper({1, 63, 64, 65, 129}, 64, {kGrouped.strategy, {256}}));
  run_case<bf16>(on_hopper({1, 63, 64, 65, 128}, 64, {kGrouped.strategy, {128}}));
}

// FlashAttention-3's varlen pairs, as two sequences of a batch: self-attention has as many queries as keys.
void test_pairs(const Effort& effort) {
  const std::pair<int32_t, int32_t> pairs[] = {{1, 1},     {1, 3},     {511, 1},   {3, 513},   {64, 128},
                                               {113, 203}, {128, 217}, {307, 256}, {640, 128}, {1023, 1024}};
  for (const auto& [first, second] : pairs) {
    if (std::max(first, second) > effort.longest) continue;
    run_case<fp16>(on_hopper({first, second}, 64, kPersistent));
  }
  AttentionCase window = on_hopper({2048}, 32, kSingle);
  window.span = {.window_left = 100};
  if (effort.longest >= 2048) run_case<bf16>(window);
}

// More (sequence, head) problems than blocks, so that every block does several, with GQA.
void test_many_items() {
  for (const AttentionPlanOptions& options : {kSingle, kAuto, kPersistent}) {
    AttentionCase c = on_hopper({3, 130, 64, 1, 70, 100, 257, 9}, 32, options);
    c.heads = 6, c.kv_heads = 2;
    run_case<bf16>(c);
  }
}

void test_spans() {
  for (const AttentionPlanOptions& options : {kSingle, kAuto, kPersistent}) {
    for (const AttentionSpan& span :
         {AttentionSpan{.causal = true}, AttentionSpan{.window_left = 8, .window_right = 8},
          AttentionSpan{.window_left = 0, .window_right = 0},
          AttentionSpan{.causal = true, .window_left = 140}, AttentionSpan{.window_right = 3}}) {
      AttentionCase c = on_hopper({50, 128, 201, 300}, 64, options);
      c.span = span;
      run_case<bf16>(c);
    }
  }
}

void test_biases() {
  for (const AttentionPlanOptions& options : {kSingle, kAuto}) {
    AttentionCase c = on_hopper({50, 110, 150, 290}, 32, options);
    c.heads = 2;
    c.alibi = true;
    run_case<bf16>(c);
    c.relative = true;
    c.span = {.causal = true};
    run_case<fp16>(c);
    c.alibi = false;
    c.reach = 0;
    run_case<bf16>(c);
    c.blind_head = true;  // rows that see no key
    run_case<bf16>(c);
    c.relative = false;
    c.negative_scale = true;
    run_case<bf16>(c);
  }
}

// A plan for these kernels serves layers that they do not compute, by the portable kernels.
void test_portable() {
  AttentionCase c = on_hopper({40, 100, 150, 290}, 32, kAuto);
  c.position_keys = c.position_queries = true;
  c.reach = 30;
  run_case<bf16>(c);
  c.options = kPersistent;
  run_case<bf16>(c);
  c.position_keys = c.position_queries = false;
  c.simt = true;
  run_case<bf16>(c);
}

// One NaN sequence must not poison its neighbours, nor rows of a capacity above T, nor may a store reach
// them.
void test_isolation(bool quick) {
  for (const AttentionPlanOptions& options : {kSingle, kAuto, kPersistent}) {
    for (int64_t head_dim : {64, 96}) {
      if (quick && head_dim != 96) continue;
      AttentionCase c = on_hopper({37, 20, 70, 135, 200, 300}, head_dim, options);
      c.nan_sequence = 1;
      run_case<bf16>(c);
      c.nan_sequence = 3;
      c.spare_rows = 80;
      run_case<bf16>(c);
      c.outside = 1000;
      run_case<bf16>(c);
      c.out_gap = 3;  // misaligned output rows
      run_case<fp16>(c);
    }
  }
}

void test_bits(bool quick) {
  const Effort effort = effort_of(quick);
  for (const AttentionPlanOptions& options : {kSingle, kAuto, kPersistent}) {
    if (quick && options.strategy != AttentionStrategy::kPersistent) continue;
    AttentionCase c = on_hopper({90, 40, 66, 260, 0, 17, 140}, 64, options);
    c.heads = 2;
    check_alone_and_permuted<bf16>(c, {3, 5, 0, 4, 2, 6, 1});
  }
  for (const AttentionPlanOptions& options : {kSingle, kAuto, kPersistent}) {
    check_padded(on_hopper({70, 0, 17, 130, 64, 260}, 32, options));
  }
  const auto single = run_case<bf16>(on_hopper({90, 40, 266}, 64, kSingle)),
             persistent = run_case<bf16>(on_hopper({90, 40, 266}, 64, kPersistent));
  check(same_bits(single.out, persistent.out) && same_bits(single.lse, persistent.lse),
        "persistent and single launches agree");
  for (const AttentionPlanOptions& options : {kSingle, kAuto, kPersistent}) {
    Problem<bf16> problem(on_hopper({90, 17, 130, 257}, 32, options));
    const auto first = problem.run();
    bool same = true;
    for (int repeat = 0; repeat < effort.repeats; repeat++) {
      const auto again = run_in_another_order(problem);
      same &= same_bits(first.out, again.out) && same_bits(first.lse, again.lse);
    }
    check(same, concat(effort.repeats, " runs by strategy ", static_cast<int>(options.strategy)));
  }
}

}  // namespace
}  // namespace padless::cuda::test

int main(int argc, char**) {
  using namespace padless::cuda;
  const bool quick = argc > 1;
  const test::Effort effort = test::effort_of(quick);
  test::test_choice();
  test::test_measured_plans();
  test::test_exp2();
  test::test_head_dims<bf16>();
  if (!quick) test::test_head_dims<fp16>();
  test::test_length_grid(
      effort, quick ? std::vector{test::kAuto} : std::vector{test::kSingle, test::kAuto, test::kPersistent});
  test::test_pairs(effort);
  test::test_many_items();
  test::test_spans();
  test::test_biases();
  test::test_portable();
  test::test_isolation(quick);
  test::test_bits(quick);
  return test::report("kernel_attention_sm90");
}
