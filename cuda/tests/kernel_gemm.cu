// linear() against fp64: every tile shape, split-K, epilogues, tails, alignment, the plan.
#include "cuda/gemm/tiles.h"
#include "cuda/tests/linear_calls.h"
#include "cuda/tests/linear_problem.h"

namespace padless::cuda::test {
namespace {

template <class T>
void test_tiles() {
  for (int tile = -1; tile < kTileShapeCount; tile++) {
    run_case<T, T>({.m = 70, .n = 136, .k = 72, .tile = tile, .residual = true});
    run_case<T, T>({.m = 41,
                    .n = 70,
                    .k = 40,
                    .tile = tile,
                    .activation = Activation::kGeluErf,
                    .residual = true,
                    .residual_first = true});
    run_case<T, T>({.m = 1, .n = 8, .k = 8, .tile = tile});
    run_case<T, T>(
        {.m = 33, .n = 30, .k = 200, .tile = tile, .activation = Activation::kGeluErf, .residual = true});
    run_case<T, T>({.m = 17, .n = 20, .k = 80, .tile = tile, .activation = Activation::kSilu, .glu = true});
    run_case<T, T>(
        {.m = 19, .n = 64, .k = 130, .tile = tile, .gap = 6});  // a row stride of a multiple of eight, K not
    run_case<T, T>({.m = 40, .n = 24, .k = 64, .tile = tile, .rows = 21});
    run_case<T, T>({.m = 40, .n = 24, .k = 64, .tile = tile, .rows = 0});
    run_case<T, float>({.m = 9, .n = 40, .k = 64, .tile = tile, .out_f32 = true});
  }
}

void test_epilogues() {
  for (Activation activation : {Activation::kGeluErf, Activation::kGeluTanh, Activation::kRelu,
                                Activation::kSilu, Activation::kTanh, Activation::kSigmoid}) {
    run_case<bf16, bf16>({.m = 20, .n = 72, .k = 64, .tile = 3, .activation = activation, .bias = false});
    run_case<fp16, fp16>(
        {.m = 20, .n = 72, .k = 64, .tile = 4, .activation = activation, .glu = true, .residual = true});
    run_case<float, float>({.m = 5, .n = 13, .k = 21, .tile = -1, .activation = activation});
  }
}

void test_splits() {
  for (int splits : {2, 3, 8}) {
    run_case<bf16, bf16>({.m = 35,
                          .n = 72,
                          .k = 640,
                          .tile = 3,
                          .splits = splits,
                          .activation = Activation::kGeluErf,
                          .residual = true});
    run_case<fp16, fp16>({.m = 18,
                          .n = 24,
                          .k = 520,
                          .tile = 4,
                          .splits = splits,
                          .activation = Activation::kSilu,
                          .glu = true});
    run_case<bf16, bf16>({.m = 18, .n = 23, .k = 520, .tile = 4, .splits = splits});
    run_case<bf16, bf16>({.m = 40, .n = 24, .k = 320, .tile = 3, .splits = splits, .rows = 7});
  }
  run_case<bf16, bf16>({.m = 5, .n = 24, .k = 64, .tile = 3, .splits = 4});  // parts beyond K are empty
}

void test_alignment() {
  run_case<bf16, bf16>({.m = 13, .n = 21, .k = 37, .tile = -1, .residual = true});
  run_case<bf16, bf16>({.m = 13, .n = 24, .k = 40, .tile = -1, .lead = 1});
  run_case<fp16, fp16>(
      {.m = 66, .n = 70, .k = 33, .tile = -1, .activation = Activation::kSilu, .glu = true, .gap = 3});
  run_case<float, float>({.m = 65, .n = 68, .k = 50, .tile = -1, .residual = true});
  run_case<float, float>({.m = 30,
                          .n = 41,
                          .k = 4,
                          .tile = -1,
                          .activation = Activation::kTanh,
                          .residual = true,
                          .residual_first = true});
}

// Without split-K a row has the same bits in every tile shape and beside any other rows.
void test_batch_invariance() {
  const RowBits bits;
  const auto all = bits.run(0, RowBits::kRows, {1, 1});
  for (int tile = 0; tile < kTileShapeCount; tile++) {
    const auto alone = bits.run(133, 1, {tile, 1});
    check(RowBits::same_row(*alone, 0, *all, 133),
          concat("a row alone in tile ", tile, " has the bits it has among ", RowBits::kRows));
  }
}

void test_plans() {
  const DeviceProperties a100{108, 80, 163 * 1024, 164 * 1024, 65536},
      ada{128, 89, 99 * 1024, 100 * 1024, 65536};
  check(plan_of(16384, 3072, 768, a100).tile == 0 && plan_of(16384, 3072, 768, a100).splits == 1,
        "large: the largest tile");
  check(plan_of(16384, 3072, 768, ada).tile != 0, "99 KiB of shared memory: not the largest tile");
  check(plan_of(8, 768, 3072, a100).splits > 1, "few tokens: split-K");
  check(plan_of(8, 768, 3072, a100, {.split_k = false}).splits == 1, "no split-K where it is not allowed");
  check(plan_of(64, 768, 770, a100).tile == -1, "misaligned rows: the general kernel");
}

void test_bad_input() {
  TestMatrix<bf16> wide(4, 9);
  TestMatrix<fp16> other(4, 8);
  const ChangedCall call;
  call.expect(Code::kOk, "good", {1, 1}, [](auto&) {});
  call.expect(Code::kOk, "no rows", {1, 1}, [](auto& a) { a.in.rows = a.out.rows = 0; });
  call.expect(Code::kInvalidArgument, "width of out", {1, 1}, [&](auto& a) { a.out = wide.view(); });
  call.expect(Code::kInvalidArgument, "dtype of out", {1, 1}, [&](auto& a) { a.out = other.view(); });
  call.expect(Code::kInvalidArgument, "glu weight", {1, 1}, [](auto& a) { a.glu = true; });
  call.expect(Code::kInvalidArgument, "no such tile", {99, 1}, [](auto&) {});
  call.expect(Code::kInvalidArgument, "no workspace", {1, 2}, [](auto&) {});
  call.expect(Code::kInvalidArgument, "misaligned", {1, 1},
              [](auto& a) { a.in.stride = 65, a.in.rows = a.out.rows = 3; });
  call.expect(Code::kUnsupported, "integers", {-1, 1},
              [](auto& a) { a.in.dtype = a.weight.dtype = a.out.dtype = DType::kI32; });
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_tiles<bf16>();
  test::test_tiles<fp16>();
  test::test_epilogues();
  test::test_splits();
  test::test_alignment();
  test::test_batch_invariance();
  test::test_plans();
  test::test_bad_input();
  return test::report("kernel_gemm");
}
