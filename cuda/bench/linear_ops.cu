// The four products of an encoder layer: as planned, next to cuBLASLt's plain product of the same sizes and
// with its own GELU, and by every other plan, which says what the planner's guesses lose; on Hopper also by
// the kernels of every GPU, and in FP8 with the kernel that makes the codes of the rows.
#include "cuda/bench/setting.h"

namespace padless::cuda::bench {
namespace {

struct Layer {
  const char* name;
  int64_t n, k;
  Activation activation;
  bool residual;
};

struct Codes {
  DeviceArray data, scales;
  QuantizeRowsArgs args;
};

Result<Codes> allocate_codes(const Matrix& from) {
  const int64_t stride = (from.cols + 15) / 16 * 16;
  auto data = DeviceArray::allocate(static_cast<size_t>(from.rows * stride));
  PADLESS_RETURN_IF_ERROR(data.status());
  auto scales = DeviceArray::allocate(static_cast<size_t>(from.rows) * sizeof(float));
  PADLESS_RETURN_IF_ERROR(scales.status());
  Codes codes{data.take(), scales.take(), {}};
  codes.args.in = from;
  codes.args.out = {codes.data.data(), DType::kE4M3, from.rows, from.cols, stride};
  codes.args.scales = static_cast<float*>(codes.scales.data());
  return Result<Codes>(std::move(codes));  // nvcc copies what it may only move, otherwise
}

Result<double> time_plan(Setting& setting, const LinearArgs& args, const GemmPlan& plan) {
  auto workspace = DeviceArray::allocate(linear_workspace_bytes(args, plan));
  PADLESS_RETURN_IF_ERROR(workspace.status());
  return setting.measure([&] { return linear(args, plan, workspace.value().data(), setting.stream()); });
}

std::string name_of(const Layer& layer, const LinearArgs& args, const GemmPlan& plan) {
  constexpr const char* kKernels[] = {"t", "persistent t", "swapped t"};
  return concat(layer.name, " [", args.in.rows, ", ", layer.n, ", ", layer.k, "] ",
                kKernels[static_cast<int>(plan.kernel)], plan.tile, " s", plan.splits);
}

// In 16 bits.
Measurement measured(const char* op, const Layer& layer, const LinearArgs& args, const GemmPlan& plan,
                     double seconds) {
  const double rows = static_cast<double>(args.in.rows), n = static_cast<double>(layer.n),
               k = static_cast<double>(layer.k);
  return {.op = op,
          .name = name_of(layer, args, plan),
          .seconds = seconds,
          .flops = 2 * rows * n * k,
          .bytes = 2 * (rows * k + n * k + rows * n * (layer.residual ? 2 : 1))};
}

// What plan_gemm chooses from, with what it expects.
Status bench_plans(Setting& setting, Report& report, const Layer& layer, const LinearArgs& args) {
  for (const auto& [plan, cycles] : gemm_plans(args, setting.device())) {
    auto seconds = time_plan(setting, args, plan);
    PADLESS_RETURN_IF_ERROR(seconds.status());
    Measurement measurement = measured("linear_plan", layer, args, plan, seconds.value());
    measurement.fields = concat(",\"expected_cycles\":", static_cast<int64_t>(cycles));
    report.add(measurement);
  }
  return Status::ok();
}

Result<double> time_cublas(Setting& setting, const LinearArgs& args, const void* gelu_bias = nullptr) {
  auto product = setting.cublas()->prepare({.m = args.in.rows,
                                            .n = args.weight.rows,
                                            .k = args.in.cols,
                                            .in_stride = args.in.cols,
                                            .weight_stride = args.in.cols,
                                            .out_stride = args.weight.rows,
                                            .gelu_bias = gelu_bias});
  PADLESS_RETURN_IF_ERROR(product.status());
  return setting.measure(
      [&] { return product.value().run(args.in.data, args.weight.data, args.out.data, setting.stream()); });
}

Status add_cublas(Setting& setting, Report& report, const Layer& layer, const LinearArgs& args,
                  Measurement& measurement) {
  if (setting.cublas() == nullptr) return Status::ok();
  auto plain = time_cublas(setting, args);
  PADLESS_RETURN_IF_ERROR(plain.status());
  measurement.cublas_seconds = plain.value();
  if (layer.activation != Activation::kGeluErf) return Status::ok();
  auto bias = setting.random(DType::kBF16, 1, layer.n);
  PADLESS_RETURN_IF_ERROR(bias.status());
  const auto gelu = time_cublas(setting, args, bias.value().data);
  if (!gelu.is_ok())
    report.skip("cublaslt_gelu", gelu.status().message());
  else
    measurement.fields = concat(",\"cublaslt_gelu_us\":", gelu.value() * 1e6);
  return Status::ok();
}

// `args` is the same product in bf16.
Status bench_fp8(Setting& setting, Report& report, const Layer& layer, LinearArgs args) {
  auto in = allocate_codes(args.in), weight = allocate_codes(args.weight);
  PADLESS_RETURN_IF_ERROR(in.status());
  PADLESS_RETURN_IF_ERROR(weight.status());
  PADLESS_RETURN_IF_ERROR(quantize_rows(weight.value().args, setting.device(), setting.stream()));
  auto codes_seconds =
      setting.measure([&] { return quantize_rows(in.value().args, setting.device(), setting.stream()); });
  PADLESS_RETURN_IF_ERROR(codes_seconds.status());
  args.in = in.value().args.out;
  args.in_scales = in.value().args.scales;
  args.weight = weight.value().args.out;
  args.weight_scales = weight.value().args.scales;
  const GemmPlan plan = plan_gemm(args, setting.device());
  auto seconds = time_plan(setting, args, plan);
  PADLESS_RETURN_IF_ERROR(seconds.status());
  const double rows = static_cast<double>(args.in.rows), n = static_cast<double>(layer.n),
               k = static_cast<double>(layer.k);
  report.add({.op = "quantize_rows",
              .name = concat("[", args.in.rows, ", ", layer.k, "]"),
              .seconds = codes_seconds.value(),
              .flops = 3 * rows * k,
              .bytes = 3 * rows * k + 4 * rows});
  report.add({.op = "linear_fp8",
              .name = name_of(layer, args, plan),
              .seconds = seconds.value(),
              .flops = 2 * rows * n * k,
              .bytes = rows * k + n * k + 2 * rows * n * (layer.residual ? 2 : 1)});
  return Status::ok();
}

Status bench_layer(Setting& setting, Report& report, const Layer& layer) {
  const int64_t m = setting.tokens();
  auto in = setting.random(DType::kBF16, m, layer.k), weight = setting.random(DType::kBF16, layer.n, layer.k),
       out = setting.random(DType::kBF16, m, layer.n);
  auto bias = setting.random_vector(layer.n);
  for (const auto* each : {&in, &weight, &out}) PADLESS_RETURN_IF_ERROR(each->status());
  PADLESS_RETURN_IF_ERROR(bias.status());
  LinearArgs args;
  args.in = in.value();
  args.weight = weight.value();
  args.bias = bias.value();
  args.activation = layer.activation;
  args.out = out.value();
  if (layer.residual) args.residual = out.value();
  DeviceProperties any_gpu = setting.device();
  if (any_gpu.runs_sm90a()) any_gpu.compute_capability = 80;
  const GemmPlan plan = plan_gemm(args, setting.device()), portable = plan_gemm(args, any_gpu);
  auto seconds = time_plan(setting, args, plan), portable_seconds = time_plan(setting, args, portable);
  PADLESS_RETURN_IF_ERROR(seconds.status());
  PADLESS_RETURN_IF_ERROR(portable_seconds.status());
  Measurement measurement = measured("linear", layer, args, plan, seconds.value());
  PADLESS_RETURN_IF_ERROR(add_cublas(setting, report, layer, args, measurement));
  report.add(measurement);
  Measurement by_any_gpu = measured("linear_portable", layer, args, portable, portable_seconds.value());
  by_any_gpu.cublas_seconds = measurement.cublas_seconds;
  report.add(by_any_gpu);
  PADLESS_RETURN_IF_ERROR(bench_plans(setting, report, layer, args));
  if (setting.device().runs_sm90a()) PADLESS_RETURN_IF_ERROR(bench_fp8(setting, report, layer, args));
  setting.release();
  return Status::ok();
}

}  // namespace

Status bench_linear(Setting& setting, Report& report) {
  const LayerShape& s = setting.options().shape;
  for (const Layer& layer : {Layer{"qkv", 3 * s.hidden, s.hidden, Activation::kNone, false},
                             Layer{"out + residual", s.hidden, s.hidden, Activation::kNone, true},
                             Layer{"ffn1 + gelu", s.mlp, s.hidden, Activation::kGeluErf, false},
                             Layer{"ffn2 + residual", s.hidden, s.mlp, Activation::kNone, true}}) {
    PADLESS_RETURN_IF_ERROR(bench_layer(setting, report, layer));
  }
  return Status::ok();
}

}  // namespace padless::cuda::bench
