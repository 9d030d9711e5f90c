// Products of e4m3: the GEMMs of sm_90a (gemm_sm90_cases.h), rows of every length; what becomes of special
// rows between quantize_rows() and the product; plans, and calls that are refused.
#include "cuda/tests/gemm_sm90_cases.h"

namespace padless::cuda::test {
namespace {

constexpr DeviceProperties kH100{132, 90, 227 * 1024, 228 * 1024, 65536},
    kA100{108, 80, 163 * 1024, 164 * 1024, 65536};

// No product has a K or N that the kernels would like.
void test_odd_sizes() {
  for (int tile : {0, 3, 5}) {
    run_case<e4m3, bf16>({.m = 67, .n = 65, .k = 129, .tile = tile, .residual = true, .kernel = kPersistent});
    run_case<e4m3, fp16>({.m = 131, .n = 1, .k = 1, .tile = tile, .kernel = kPersistent});
    run_case<e4m3, bf16>({.m = 3,
                          .n = 193,
                          .k = 383,
                          .tile = tile,
                          .activation = Activation::kGeluErf,
                          .glu = true,
                          .kernel = kPersistent});
  }
  for (int splits : {1, 2}) {
    run_case<e4m3, bf16>({.m = 5, .n = 65, .k = 257, .tile = 1, .splits = splits, .kernel = kSwapped});
    run_case<e4m3, fp16>({.m = 1, .n = 3, .k = 15, .tile = 0, .splits = splits, .kernel = kSwapped});
  }
}

template <class T>
struct Quantized {
  Quantized(const TestMatrix<T>& from)
      : codes(from.rows(), from.cols(), operand_gap<e4m3>(from.cols(), 0)),
        scales(static_cast<size_t>(from.rows())) {
    check_ok(quantize_rows({.in = from.view(), .out = codes.view(), .scales = scales.data()}, kH100, nullptr),
             "quantize_rows");
    // A product may fetch its weight ahead of its turn in the stream: it must be there before the launch.
    check_ok(to_status(cudaDeviceSynchronize()), "the end of quantize_rows");
  }
  TestMatrix<e4m3> codes;
  DeviceBuffer<float> scales;
};

// The rows of a product: ordinary, with a NaN, with an infinity, zeros, and so small that f32 has no
// reciprocal.
void test_special_rows(const GemmPlan& plan) {
  constexpr int64_t kRows = 5, kDepth = 100, kColumns = 24;
  Random random(3);
  TestMatrix<float> in(kRows, kDepth), weight(kColumns, kDepth);
  TestMatrix<bf16> out(kRows, kColumns);
  in.fill(random);
  weight.fill(random);
  in.at(1, 7) = std::numeric_limits<float>::quiet_NaN();
  in.at(2, 8) = std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < kDepth; i++) {
    in.at(3, i) = 0;
    in.at(4, i) = 1e-39f;
  }
  in.upload();
  const Quantized<float> a(in), b(weight);
  LinearArgs args;
  args.in = a.codes.view();
  args.in_scales = a.scales.data();
  args.weight = b.codes.view();
  args.weight_scales = b.scales.data();
  args.out = out.view();
  check_ok(linear(args, plan, nullptr, nullptr), "special rows");
  out.download();
  double worst = 0, norm = 0;
  bool others = true;
  for (int64_t col = 0; col < kColumns; col++) {
    double expected = 0;
    for (int64_t i = 0; i < kDepth; i++) expected += in.value(0, i) * weight.value(col, i);
    worst = std::max(worst, std::fabs(out.value(0, col) - expected));
    norm = std::max(norm, std::fabs(expected));
    others &= std::isnan(out.value(1, col)) && std::isnan(out.value(2, col)) && out.value(3, col) == 0 &&
              std::fabs(out.value(4, col)) < 1e-30;
  }
  check(worst < 0.08 * norm && worst > 1e-4 * norm, concat("quantised: error ", worst, " of ", norm));
  check(others, "NaN and infinity stay in their rows, zeros and the least numbers are zeros");
}

GemmPlan fp8_plan(int64_t m, int64_t n, int64_t k, const DeviceProperties& device,
                  Activation activation = Activation::kNone) {
  return plan_of(m, n, k, device, {}, activation, DType::kE4M3);
}

void test_plans() {
  check(fp8_plan(16384, 3072, 768, kH100).kernel == kPersistent, "many tokens: persistent");
  check(kE4M3PersistentTiles[fp8_plan(16384, 8192, 8192, kH100).tile].cols == 192,
        "long K: the largest tile");
  check(fp8_plan(8, 768, 3072, kH100).kernel == kSwapped, "few tokens: swapped");
  check(fp8_plan(4096, 768, 768, kH100, Activation::kTanh).kernel == kSwapped, "tanh: swapped");
  for (const GemmPlan& plan :
       {fp8_plan(64, 768, 768, kA100), fp8_plan(64, 768, 770, kH100), fp8_plan(4, 8, 0, kH100)})
    check(plan.kernel == GemmKernel::kPortable && plan.tile == -1, "no kernel takes it");
}

void test_refusals() {
  TestMatrix<e4m3> in(4, 64), weight(8, 64);
  TestMatrix<bf16> out(4, 8);
  TestMatrix<float> residual(4, 8);
  DeviceBuffer<float> scales(8);
  const auto expect = [&](Code code, const char* what, GemmPlan plan, auto change) {
    LinearArgs args;
    args.in = in.view();
    args.weight = weight.view();
    args.out = out.view();
    args.in_scales = args.weight_scales = scales.data();
    change(args);
    check_code(linear(args, plan, nullptr, nullptr), code, what);
  };
  expect(Code::kOk, "no rows", {0, 1, kPersistent}, [](auto& a) { a.in.rows = a.out.rows = 0; });
  expect(Code::kUnsupported, "no kernel", {}, [](auto&) {});
  expect(Code::kUnsupported, "the portable kernel", {1}, [](auto&) {});
  expect(Code::kInvalidArgument, "no scales", {0, 1, kPersistent}, [](auto& a) { a.in_scales = nullptr; });
  expect(Code::kInvalidArgument, "no scales of the weight", {0, 1, kPersistent},
         [](auto& a) { a.weight_scales = nullptr; });
  expect(Code::kInvalidArgument, "misaligned", {0, 1, kSwapped}, [](auto& a) { a.in.stride = 72; });
  expect(Code::kUnsupported, "a residual in f32", {0, 1, kPersistent},
         [&](auto& a) { a.residual = residual.view(); });
  expect(Code::kInvalidArgument, "another weight", {0, 1, kPersistent},
         [](auto& a) { a.weight.dtype = DType::kI8; });

  const auto quantize = [&](const DeviceProperties& device, auto change) {
    QuantizeRowsArgs args{.in = residual.view(), .out = in.view(), .scales = scales.data()};
    args.out.cols = 8;
    change(args);
    return quantize_rows(args, device, nullptr);
  };
  check_code(quantize(kA100, [](auto&) {}), Code::kUnsupported, "e4m3 on compute capability 8.0");
  check_code(quantize(kH100, [](auto& a) { a.scales = nullptr; }), Code::kInvalidArgument, "no scales");
  check_code(quantize(kH100, [](auto& a) { a.out.dtype = DType::kBF16; }), Code::kInvalidArgument,
             "not e4m3");
  check_code(quantize(kH100, [](auto& a) { a.in.dtype = DType::kI32; }), Code::kUnsupported, "not floats");
}

}  // namespace
}  // namespace padless::cuda::test

int main(int argc, char**) {
  using namespace padless::cuda;
  test::test_gemm_sm90<e4m3, bf16>(false);
  test::test_persistent_tiles<e4m3, fp16>(argc > 1);
  test::test_odd_sizes();
  test::test_bits<e4m3>();
  test::test_special_rows({3, 1, GemmKernel::kPersistent});
  test::test_special_rows({0, 1, GemmKernel::kSwapped});
  test::test_plans();
  test::test_refusals();
  return test::report("kernel_gemm_fp8");
}
