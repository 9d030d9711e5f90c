// linear() against fp64: every tile shape, split-K, epilogues, tails, alignment, the plan.
#include <memory>

#include "cuda/gemm/tiles.h"
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
  Random random(5);
  TestMatrix<bf16> in(150, 200), weight(96, 200);
  in.fill(random);
  weight.fill(random);
  const auto run = [&](int64_t first, int64_t rows, int tile) {
    auto out = std::make_unique<TestMatrix<bf16>>(rows, 96);
    LinearArgs args;
    args.in = in.view();
    args.in.data = args.in.row<bf16>(first);
    args.in.rows = rows;
    args.weight = weight.view();
    args.activation = Activation::kGeluErf;
    args.out = out->view();
    check_ok(linear(args, {tile, 1}, nullptr, nullptr), "batch invariance");
    out->download();
    return out;
  };
  const auto all = run(0, 150, 1);
  for (int tile = 0; tile < kTileShapeCount; tile++) {
    const auto alone = run(133, 1, tile);
    bool equal = true;
    for (int64_t col = 0; col < 96; col++) equal &= alone->value(0, col) == all->value(133, col);
    check(equal, concat("a row alone in tile ", tile, " has the bits it has among 150"));
  }
}

void test_plans() {
  TestMatrix<bf16> in(1, 1), weight(1, 1);
  const DeviceProperties a100{108, 80, 163 * 1024, 164 * 1024, 65536},
      ada{128, 89, 99 * 1024, 100 * 1024, 65536};
  const auto plan = [&](int64_t m, int64_t n, int64_t k, const DeviceProperties& device,
                        GemmPlanOptions options = {}) {
    LinearArgs args;
    args.in = {in.view().data, DType::kBF16, m, k, k};
    args.weight = {weight.view().data, DType::kBF16, n, k, k};
    args.out = {in.view().data, DType::kBF16, m, n, n};
    return plan_gemm(args, device, options);
  };
  check(plan(16384, 3072, 768, a100).tile == 0 && plan(16384, 3072, 768, a100).splits == 1,
        "large: the largest tile");
  check(plan(16384, 3072, 768, ada).tile != 0, "99 KiB of shared memory: not the largest tile");
  check(plan(8, 768, 3072, a100).splits > 1, "few tokens: split-K");
  check(plan(8, 768, 3072, a100, {.split_k = false}).splits == 1, "no split-K where it is not allowed");
  check(plan(64, 768, 770, a100).tile == -1, "misaligned rows: the general kernel");
}

void test_bad_input() {
  TestMatrix<bf16> in(4, 64), weight(8, 64), out(4, 8), wide(4, 9);
  TestMatrix<fp16> other(4, 8);
  LinearArgs good;
  good.in = in.view();
  good.weight = weight.view();
  good.out = out.view();
  const auto expect = [&](Code code, const char* what, GemmPlan plan, auto change) {
    LinearArgs bad = good;
    change(bad);
    check_code(linear(bad, plan, nullptr, nullptr), code, what);
  };
  expect(Code::kOk, "good", {1, 1}, [](auto&) {});
  expect(Code::kOk, "no rows", {1, 1}, [](auto& a) { a.in.rows = a.out.rows = 0; });
  expect(Code::kInvalidArgument, "width of out", {1, 1}, [&](auto& a) { a.out = wide.view(); });
  expect(Code::kInvalidArgument, "dtype of out", {1, 1}, [&](auto& a) { a.out = other.view(); });
  expect(Code::kInvalidArgument, "glu weight", {1, 1}, [](auto& a) { a.glu = true; });
  expect(Code::kInvalidArgument, "no such tile", {99, 1}, [](auto&) {});
  expect(Code::kInvalidArgument, "no workspace", {1, 2}, [](auto&) {});
  expect(Code::kInvalidArgument, "misaligned", {1, 1},
         [](auto& a) { a.in.stride = 65, a.in.rows = a.out.rows = 3; });
  expect(Code::kUnsupported, "integers", {-1, 1},
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
