// The four products of an encoder layer, next to cuBLASLt's plain product of the same sizes; on Hopper the
// same in FP8, and the kernel that makes the codes of the rows.
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

struct TimedLinear {
  GemmPlan plan;
  double seconds;
};

Result<TimedLinear> time_linear(Setting& setting, const LinearArgs& args) {
  const GemmPlan plan = plan_gemm(args, setting.device());
  auto workspace = DeviceArray::allocate(linear_workspace_bytes(args, plan));
  PADLESS_RETURN_IF_ERROR(workspace.status());
  auto seconds =
      setting.measure([&] { return linear(args, plan, workspace.value().data(), setting.stream()); });
  PADLESS_RETURN_IF_ERROR(seconds.status());
  return TimedLinear{plan, seconds.value()};
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
  auto timed = time_linear(setting, args);
  PADLESS_RETURN_IF_ERROR(timed.status());
  const auto& [plan, seconds] = timed.value();
  const double rows = static_cast<double>(args.in.rows), n = static_cast<double>(layer.n),
               k = static_cast<double>(layer.k);
  report.add({.op = "quantize_rows",
              .name = concat("[", args.in.rows, ", ", layer.k, "]"),
              .seconds = codes_seconds.value(),
              .flops = 3 * rows * k,
              .bytes = 3 * rows * k + 4 * rows});
  report.add({.op = "linear_fp8",
              .name = concat(layer.name, " [", args.in.rows, ", ", layer.n, ", ", layer.k, "] t", plan.tile,
                             " s", plan.splits),
              .seconds = seconds,
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
  auto timed = time_linear(setting, args);
  PADLESS_RETURN_IF_ERROR(timed.status());
  const auto& [plan, seconds] = timed.value();
  const double rows = static_cast<double>(m), n = static_cast<double>(layer.n),
               k = static_cast<double>(layer.k);
  Measurement measurement{
      .op = "linear",
      .name = concat(layer.name, " [", m, ", ", layer.n, ", ", layer.k, "] t", plan.tile, " s", plan.splits),
      .seconds = seconds,
      .flops = 2 * rows * n * k,
      .bytes = 2 * (rows * k + n * k + rows * n * (layer.residual ? 2 : 1))};
  if (setting.cublas() != nullptr) {
    auto product = setting.cublas()->prepare({.m = m,
                                              .n = layer.n,
                                              .k = layer.k,
                                              .in_stride = layer.k,
                                              .weight_stride = layer.k,
                                              .out_stride = layer.n});
    PADLESS_RETURN_IF_ERROR(product.status());
    auto theirs = setting.measure(
        [&] { return product.value().run(args.in.data, args.weight.data, args.out.data, setting.stream()); });
    PADLESS_RETURN_IF_ERROR(theirs.status());
    measurement.cublas_seconds = theirs.value();
  }
  report.add(measurement);
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
