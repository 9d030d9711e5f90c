// varlen_attention with biases against fp64: ALiBi, relative tables, disentangled attention.
#include "cuda/tests/attention_problem.h"

namespace padless::cuda::test {
namespace {

void test_alibi_and_relative() {
  for (const AttentionPlanOptions& options : {kSingle, kGrouped}) {
    run_case<bf16>({.lengths = {50, 110}, .heads = 4, .kv_heads = 2, .alibi = true, .options = options});
    run_case<fp16>({.lengths = {50, 110}, .heads = 3, .kv_heads = 1, .relative = true, .options = options});
    run_case<fp16>(
        {.lengths = {70, 0, 3}, .heads = 2, .kv_heads = 1, .relative = true, .reach = 0, .options = options});
    run_case<fp16>({.lengths = {70},
                    .heads = 2,
                    .kv_heads = 1,
                    .span = {.causal = true},
                    .alibi = true,
                    .relative = true,
                    .options = options});
  }
}

// Rows that see no key, in tiles and sequences of every kernel, beside a head that sees all.
void test_blind_rows() {
  for (const AttentionPlanOptions& options : {kSingle, kGrouped}) {
    run_case<bf16>({.lengths = {1, 40, 110, 150},
                    .head_dim = 32,
                    .relative = true,
                    .blind_head = true,
                    .options = options});
  }
}

template <class T>
AttentionCase disentangled(std::vector<int32_t> lengths, int64_t head_dim) {
  AttentionCase c;
  c.lengths = std::move(lengths);
  c.head_dim = head_dim;
  c.heads = c.kv_heads = 1;
  c.position_keys = c.position_queries = true;
  c.reach = 40;
  return c;
}

// Around the tiles of every head dim, a NaN neighbour and NaN rows past the last sequence.
template <class T>
void test_disentangled_head_dims(std::span<const int> head_dims) {
  for (int64_t head_dim : head_dims) {
    AttentionCase c = disentangled<T>({65, 0, 1, 17, 32, 33, 97}, head_dim);
    c.twice = true;
    run_case<T>(c);
    c.twice = false;
    c.lengths = {37, 20, 70};
    c.nan_sequence = 1;
    c.spare_rows = 40;
    c.irregular_rows = true;
    run_case<T>(c);
  }
}

void test_disentangled_tables() {
  for (int32_t reach : {0, 1, 7, 63, 300}) {
    for (bool irregular : {false, true}) {
      AttentionCase c = disentangled<bf16>({129, 40}, 64);
      c.reach = reach;
      c.irregular_rows = irregular;
      run_case<bf16>(c);
    }
  }
  AttentionCase c = disentangled<fp16>({70, 130}, 32);
  c.position_queries = false;  // content to position only
  run_case<fp16>(c);
  c.position_keys = false, c.position_queries = true;  // position to content only
  run_case<fp16>(c);
}

void test_disentangled_spans() {
  for (const AttentionPlanOptions& options : {kSingle, kGrouped, kPersistent}) {
    for (const AttentionSpan& span :
         {AttentionSpan{}, AttentionSpan{.causal = true}, AttentionSpan{.window_left = 8, .window_right = 9},
          AttentionSpan{.causal = true, .window_left = 70}}) {
      AttentionCase c = disentangled<bf16>({50, 128, 150}, 32);
      c.heads = 4, c.kv_heads = 2;
      c.span = span;
      c.options = options;
      run_case<bf16>(c);
    }
  }
  for (int64_t head_dim : {96, 128, 256}) {  // tiles of the plan are cut into parts
    AttentionCase c = disentangled<bf16>({50, 100}, head_dim);
    c.span = {.causal = true};
    c.options = kGrouped;
    run_case<bf16>(c);
  }
}

void test_disentangled_bitwise() {
  AttentionCase batch = disentangled<bf16>({90, 40, 66}, 64);
  const auto first = run_case<bf16>(batch);
  for (const AttentionPlanOptions& options : {kSingle, kGrouped, kPersistent}) {
    batch.options = options;
    const auto again = run_case<bf16>(batch);
    check(same_bits(first.out, again.out) && same_bits(first.lse, again.lse),
          "disentangled: the same bits by every strategy");
  }
}

void test_bad_input() {
  TestMatrix<bf16> q(4, 64), table(3, 64), narrow(3, 32), fewer(2, 64);
  TestMatrix<fp16> other(3, 64);
  DeviceBuffer<int32_t> rows(std::vector<int32_t>{0, 1, 2});
  const AttentionShape shape{1, 1, 64};
  const auto expect = [&](Code code, const char* what, auto change) {
    VarlenAttentionArgs args;
    args.shape = shape;
    args.q = args.k = args.v = args.out = q.view();
    args.bias.position_keys = args.bias.position_queries = table.view();
    args.bias.relative_rows = rows.data();
    args.bias.reach = 1;
    change(args.bias);
    check_code(varlen_attention(args, {}, {}, nullptr), code, what);
  };
  expect(Code::kOk, "an empty plan", [](ScoreBias&) {});
  expect(Code::kInvalidArgument, "columns of position_keys",
         [&](ScoreBias& b) { b.position_keys = narrow.view(); });
  expect(Code::kInvalidArgument, "dtype of position_queries",
         [&](ScoreBias& b) { b.position_queries = other.view(); });
  expect(Code::kInvalidArgument, "tables of two sizes",
         [&](ScoreBias& b) { b.position_queries = fewer.view(); });
  expect(Code::kInvalidArgument, "misaligned position_keys",
         [](ScoreBias& b) { b.position_keys.stride = 65; });
  expect(Code::kInvalidArgument, "no relative_rows", [](ScoreBias& b) { b.relative_rows = nullptr; });
  expect(Code::kInvalidArgument, "negative reach", [](ScoreBias& b) { b.reach = -1; });
  expect(Code::kInvalidArgument, "an empty table", [](ScoreBias& b) {
    b.position_keys.rows = 0;
    b.position_queries = {};
  });
}

}  // namespace
}  // namespace padless::cuda::test

int main(int argc, char**) {
  using namespace padless::cuda;
  test::test_alibi_and_relative();
  test::test_blind_rows();
  const std::span<const int> head_dims = kAttentionHeadDims;
  test::test_disentangled_head_dims<bf16>(head_dims);
  test::test_disentangled_head_dims<fp16>(argc > 1 ? head_dims.last(1) : head_dims);
  test::test_disentangled_tables();
  test::test_disentangled_spans();
  test::test_disentangled_bitwise();
  test::test_bad_input();
  return test::report("kernel_attention_bias");
}
