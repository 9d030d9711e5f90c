// The GEMMs of sm_90a for operands of 16 bits: gemm_sm90_cases.h, special values, plans.
#include "cuda/tests/gemm_sm90_cases.h"

namespace padless::cuda::test {
namespace {

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

int main(int argc, char**) {
  using namespace padless::cuda;
  test::test_gemm_sm90<bf16, bf16>(false);
  test::test_gemm_sm90<fp16, fp16>(argc > 1);
  test::test_bits<bf16>();
  test::test_gelu_error();
  test::test_special_values();
  test::test_plans();
  test::test_bad_plans();
  return test::report("kernel_gemm_sm90");
}
