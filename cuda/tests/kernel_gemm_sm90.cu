// The GEMMs of sm_90a against fp64: every tile, tails of every dimension, epilogues, rows counted on the
// device, persistent grids of few blocks, split-K, and that a row's bits do not depend on the tile.
#include "cuda/gemm/sm90/tiles.h"
#include "cuda/tests/linear_calls.h"
#include "cuda/tests/linear_problem.h"

namespace padless::cuda::test {
namespace {

constexpr GemmKernel kPersistent = GemmKernel::kPersistent, kSwapped = GemmKernel::kSwapped;

template <class T>
void test_persistent_tiles() {
  for (int tile = 0; tile < kPersistentTileCount; tile++) {
    const auto with = [&](LinearCase c) {
      c.tile = tile;
      c.kernel = kPersistent;
      return c;
    };
    run_case<T, T>(with({.m = 70, .n = 136, .k = 72, .residual = true}));
    run_case<T, T>(with({.m = 1, .n = 8, .k = 8}));
    run_case<T, T>(with({.m = 33, .n = 30, .k = 200, .activation = Activation::kGeluErf, .residual = true}));
    run_case<T, T>(with({.m = 17, .n = 20, .k = 80, .activation = Activation::kSilu, .glu = true}));
    run_case<T, T>(
        with({.m = 19, .n = 64, .k = 130, .gap = 6}));  // a row stride of a multiple of eight, K not
    run_case<T, T>(with({.m = 40, .n = 24, .k = 64, .rows = 21}));
    run_case<T, T>(with({.m = 40, .n = 24, .k = 64, .rows = 0}));
    run_case<T, float>(with({.m = 9, .n = 40, .k = 64, .residual = true, .out_f32 = true}));
    run_case<T, float>(with({.m = 9, .n = 21, .k = 64, .glu = true, .out_f32 = true}));
    // Three row tiles and three column tiles on few blocks: the ring and both warpgroups run over tiles'
    // ends.
    for (int blocks : {1, 2, 5}) {
      run_case<T, T>(with({.m = 2 * kPersistentTiles[tile].rows + 3,
                           .n = 2 * kPersistentTiles[tile].cols + 8,
                           .k = 136,
                           .residual = true,
                           .rows = 2 * kPersistentTiles[tile].rows - (blocks == 2 ? 70 : 0),
                           .blocks = blocks}));
    }
  }
}

void test_long_k() {
  for (int tile = 0; tile < kPersistentTileCount; tile++) {
    run_case<bf16, bf16>(
        {.m = 65, .n = 24, .k = 1096 + 8 * tile, .tile = tile, .kernel = kPersistent, .blocks = 1});
  }
}

void test_epilogues() {
  for (Activation activation :
       {Activation::kGeluErf, Activation::kGeluTanh, Activation::kRelu, Activation::kSilu}) {
    for (const bool glu : {false, true}) {
      run_case<bf16, bf16>({.m = 20,
                            .n = 72,
                            .k = 64,
                            .tile = 3,
                            .activation = activation,
                            .glu = glu,
                            .bias = false,
                            .kernel = kPersistent});
      run_case<fp16, fp16>({.m = 70,
                            .n = 136,
                            .k = 64,
                            .tile = 1,
                            .activation = activation,
                            .glu = glu,
                            .residual = true,
                            .kernel = kPersistent});
      run_case<fp16, fp16>({.m = 20,
                            .n = 72,
                            .k = 64,
                            .tile = 2,
                            .activation = activation,
                            .glu = glu,
                            .residual = true,
                            .kernel = kSwapped});
    }
  }
  run_case<bf16, bf16>(
      {.m = 5, .n = 13, .k = 24, .tile = 0, .activation = Activation::kTanh, .kernel = kSwapped});
  // Misaligned results take single elements.
  run_case<bf16, bf16>({.m = 66, .n = 67, .k = 64, .tile = 1, .residual = true, .kernel = kPersistent});
  run_case<bf16, float>(
      {.m = 66, .n = 67, .k = 64, .tile = 1, .residual = true, .out_f32 = true, .kernel = kPersistent});
}

template <class T>
void test_swapped_tiles() {
  for (int tile = 0; tile < kSwappedTileCount; tile++) {
    for (int splits : {1, 3}) {
      const auto with = [&](LinearCase c) {
        c.tile = tile;
        c.splits = splits;
        c.kernel = kSwapped;
        return c;
      };
      run_case<T, T>(with({.m = kSwappedTokens[tile] + 3, .n = 136, .k = 456, .residual = true}));
      run_case<T, T>(with({.m = 1, .n = 8, .k = 8}));  // parts beyond K are empty
      run_case<T, T>(with({.m = 7, .n = 30, .k = 520, .activation = Activation::kGeluErf, .residual = true}));
      run_case<T, T>(with({.m = 12, .n = 20, .k = 264, .activation = Activation::kSilu, .glu = true}));
      run_case<T, T>(with({.m = 11,
                           .n = 70,
                           .k = 200,
                           .activation = Activation::kGeluErf,
                           .residual = true,
                           .residual_first = true}));
      run_case<T, T>(with({.m = 40, .n = 72, .k = 192, .rows = 9}));
      run_case<T, T>(with({.m = 40, .n = 72, .k = 192, .rows = 0}));
      run_case<T, float>(with({.m = 9, .n = 23, .k = 130, .out_f32 = true, .gap = 6}));
    }
  }
}

// Without split-K a row has the same bits in every tile of every kernel, beside any other rows, and every
// time.
void test_bits() {
  const RowBits bits;
  const auto all = bits.run(0, RowBits::kRows, {0, 1, kPersistent, 2});
  const auto again = bits.run(0, RowBits::kRows, {0, 1, kPersistent, 4});
  bool repeated = true;
  for (int64_t row = 0; row < RowBits::kRows; row++) repeated &= RowBits::same_row(*all, row, *again, row);
  check(repeated, "the same batch twice, on other numbers of blocks");
  for (int tile = 0; tile < kPersistentTileCount; tile++) {
    const auto some = bits.run(133, 71, {tile, 1, kPersistent, 1});
    bool equal = true;
    for (int64_t row = 0; row < 71; row++) equal &= RowBits::same_row(*some, row, *all, 133 + row);
    check(equal, concat("71 rows in persistent tile ", tile, " have the bits they have among 300"));
  }
  for (int tile = 0; tile < kSwappedTileCount; tile++) {
    const auto alone = bits.run(133, 1, {tile, 1, kSwapped});
    check(RowBits::same_row(*alone, 0, *all, 133), concat("a row alone in swapped tile ", tile));
  }
}

// erf GELU of the fast form, which the epilogues share: within 1e-5 of the result down to -8, where bf16
// steps by 2^-8.
void test_gelu_error() {
  constexpr int64_t kPoints = 512;
  TestMatrix<bf16> in(kPoints, 8), weight(8, 8);
  TestMatrix<float> out(kPoints, 8);
  for (int64_t r = 0; r < kPoints; r++) {
    for (int64_t i = 0; i < 8; i++)
      in.at(r, i) = static_cast<bf16>(i == 0 ? static_cast<float>(r) / 32 - 8 : 0.0f);
  }
  for (int64_t r = 0; r < 8; r++) {
    for (int64_t i = 0; i < 8; i++) weight.at(r, i) = static_cast<bf16>(i == 0 ? 1.0f : 0.0f);
  }
  in.upload();
  weight.upload();
  LinearArgs args;
  args.in = in.view();
  args.weight = weight.view();
  args.activation = Activation::kGeluErf;
  args.out = out.view();
  check_ok(linear(args, {3, 1, kPersistent}, nullptr, nullptr), "gelu");
  out.download();
  double worst = 0;
  for (int64_t r = 0; r < kPoints; r++) {
    const double expected = activate_reference(Activation::kGeluErf, in.value(r, 0));
    worst = std::max(worst, std::fabs(out.value(r, 0) - expected) / std::max(std::fabs(expected), 1e-300));
  }
  check(worst < 6e-5, concat("relative error of erf GELU from -8 to 8: ", worst));
}

void test_special_values() {
  const float infinity = std::numeric_limits<float>::infinity();
  const float values[] = {std::numeric_limits<float>::quiet_NaN(), infinity, 1e30f, -1e30f, -20.0f, -0.0f};
  TestMatrix<bf16> in(6, 8), weight(8, 8), out(6, 8);
  for (int64_t r = 0; r < 6; r++) {
    for (int64_t i = 0; i < 8; i++) {
      in.at(r, i) = static_cast<bf16>(i == 0 ? values[r] : 0.0f);
      weight.at(r, i) = static_cast<bf16>(i == 0 ? 1.0f : 0.0f);
    }
  }
  for (int64_t r = 6; r < 8; r++) {
    for (int64_t i = 0; i < 8; i++) weight.at(r, i) = static_cast<bf16>(1.0f);
  }
  in.upload();
  weight.upload();
  LinearArgs args;
  args.in = in.view();
  args.weight = weight.view();
  args.out = out.view();
  for (Activation activation :
       {Activation::kNone, Activation::kGeluErf, Activation::kRelu, Activation::kSilu}) {
    args.activation = activation;
    check_ok(linear(args, {3, 1, kPersistent}, nullptr, nullptr), "special values");
    out.download();
    const bool keeps = activation == Activation::kNone;
    const std::string name = concat("activation ", static_cast<int>(activation));
    check(std::isnan(out.value(0, 0)), name + " keeps NaN");
    check(out.value(1, 0) == infinity && out.value(2, 0) > 9e29, name + " of large values");
    check(keeps ? out.value(3, 0) < -9e29 : std::fabs(out.value(3, 0)) == 0,
          name + " of large negative values");
    check(keeps ? out.value(4, 0) == -20 : std::fabs(out.value(4, 0)) < 1e-7, name + " of -20");
    check(out.value(5, 0) == 0, name + " of -0");
  }
}

void test_plans() {
  const DeviceProperties h100{132, 90, 227 * 1024, 228 * 1024, 65536},
      blackwell{148, 100, 227 * 1024, 228 * 1024, 65536};
  const GemmPlan large = plan_of(16384, 3072, 768, h100);
  check(large.kernel == kPersistent && kPersistentTiles[large.tile].rows == 128 && large.blocks == 132,
        concat("many tokens: tile ", large.tile));
  check(kPersistentTiles[plan_of(16384, 8192, 8192, h100).tile].cols == 256, "long K: the largest tile");
  check(plan_of(8, 768, 3072, h100).kernel == kSwapped && plan_of(8, 768, 3072, h100).splits > 1,
        "few tokens: swapped, split-K");
  check(plan_of(8, 768, 3072, h100, {.split_k = false}).splits == 1, "no split-K where it is not allowed");
  check(plan_of(16384, 3072, 768, blackwell).kernel == GemmKernel::kPortable,
        "other GPUs: the portable kernel");
  check(plan_of(64, 768, 770, h100).tile == -1, "misaligned rows: the general kernel");
  check(plan_of(64, 768, 768, h100, {}, Activation::kTanh).kernel == GemmKernel::kPortable,
        "tanh: the portable kernel");
}

void test_bad_plans() {
  const ChangedCall call;
  call.expect(Code::kOk, "no rows", {0, 1, kPersistent}, [](auto& a) { a.in.rows = a.out.rows = 0; });
  call.expect(Code::kInvalidArgument, "no tile", {-1, 1, kPersistent}, [](auto&) {});
  call.expect(Code::kInvalidArgument, "no such tile", {kSwappedTileCount, 1, kSwapped}, [](auto&) {});
  call.expect(Code::kInvalidArgument, "split-K", {0, 2, kPersistent}, [](auto&) {});
  call.expect(Code::kInvalidArgument, "tanh", {0, 1, kPersistent},
              [](auto& a) { a.activation = Activation::kTanh; });
  call.expect(Code::kInvalidArgument, "misaligned", {0, 1, kSwapped},
              [](auto& a) { a.in.stride = 65, a.in.rows = a.out.rows = 3; });
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_persistent_tiles<bf16>();
  test::test_persistent_tiles<fp16>();
  test::test_long_k();
  test::test_epilogues();
  test::test_swapped_tiles<bf16>();
  test::test_swapped_tiles<fp16>();
  test::test_bits();
  test::test_gelu_error();
  test::test_special_values();
  test::test_plans();
  test::test_bad_plans();
  return test::report("kernel_gemm_sm90");
}
