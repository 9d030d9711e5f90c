// simt_attention against fp64: head dims without a tensor core kernel, masks, biases and neighbours.
#include "cuda/tests/attention_problem.h"

namespace padless::cuda::test {
namespace {

template <class T>
Outcome<T> run_simt(AttentionCase c) {
  c.simt = true;
  return run_case<T>(c);
}

void test_shapes() {
  for (int64_t head_dim : {1, 8, 15, 32, 33, 64, 80, 129, 256}) {
    run_simt<bf16>(
        {.lengths = {33, 0, 1, 17, 70}, .head_dim = head_dim, .heads = 1, .kv_heads = 1, .twice = true});
  }
  run_simt<fp16>({.lengths = {63, 64, 65, 31, 32}, .head_dim = 24, .heads = 4, .kv_heads = 2});
  run_simt<bf16>(
      {.lengths = {20, 70, 130}, .head_dim = 24, .options = {.strategy = AttentionStrategy::kGrouped}});
  run_simt<bf16>({.lengths = {}});
  run_simt<bf16>({.lengths = {0, 0}});
}

void test_spans_and_biases() {
  for (const AttentionSpan& span :
       {AttentionSpan{.causal = true}, AttentionSpan{.window_left = 8, .window_right = 8},
        AttentionSpan{.window_left = 0, .window_right = 0}, AttentionSpan{.causal = true, .window_left = 40},
        AttentionSpan{.window_right = 3}}) {
    run_simt<bf16>({.lengths = {50, 101}, .head_dim = 20, .heads = 1, .kv_heads = 1, .span = span});
  }
  run_simt<bf16>({.lengths = {50, 70}, .head_dim = 48, .heads = 4, .kv_heads = 2, .alibi = true});
  run_simt<fp16>({.lengths = {50, 70}, .head_dim = 48, .heads = 3, .kv_heads = 1, .relative = true});
  run_simt<bf16>({.lengths = {1, 70}, .head_dim = 24, .relative = true, .blind_head = true});
  for (const auto& [keys, queries] : {std::pair{true, false}, {false, true}, {true, true}}) {
    run_simt<bf16>({.lengths = {3, 40},
                    .head_dim = 24,
                    .position_keys = keys,
                    .position_queries = queries,
                    .irregular_rows = true});
  }
}

void test_isolation() {
  run_simt<bf16>({.lengths = {37, 20, 70}, .head_dim = 24, .nan_sequence = 1});
  run_simt<bf16>({.lengths = {37, 70}, .head_dim = 24, .spare_rows = 80});
  run_simt<bf16>({.lengths = {37, 70}, .head_dim = 24, .spare_rows = 80, .outside = 1000});
  run_simt<bf16>({.lengths = {37, 70}, .head_dim = 24, .out_gap = 3});
}

// A sequence's bits depend on nothing but the sequence: here the other one is replaced by a longer one.
void test_bits() {
  Problem<bf16> together({.lengths = {70, 45, 129}, .head_dim = 24, .simt = true});
  Problem<bf16> alone({.lengths = {45}, .head_dim = 24, .simt = true});
  alone.copy_sequence(0, together, 1);
  const auto both = together.run(), one = alone.run();
  const size_t width = one.out.size() / 45;
  check(std::memcmp(one.out.data(), both.out.data() + 70 * width, one.out.size() * sizeof(bf16)) == 0,
        "a sequence has the same bits alone and in a batch");
}

void test_bad_input() {
  TestMatrix<bf16> q(4, 300);
  VarlenAttentionArgs args;
  args.shape = {1, 1, 300};
  args.q = args.k = args.v = args.out = q.view();
  check_code(simt_attention(args, {}, nullptr, nullptr), Code::kUnsupported, "head dim 300");
  args.shape = {3, 2, 100};
  check_code(simt_attention(args, {}, nullptr, nullptr), Code::kInvalidArgument, "heads that do not divide");
  args.shape = {3, 3, 100};
  args.k.dtype = DType::kF32;
  check_code(simt_attention(args, {}, nullptr, nullptr), Code::kInvalidArgument, "dtype of k");
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_shapes();
  test::test_spans_and_biases();
  test::test_isolation();
  test::test_bits();
  test::test_bad_input();
  return test::report("kernel_simt_attention");
}
