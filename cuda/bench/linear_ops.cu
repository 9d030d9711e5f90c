// The four products of an encoder layer, next to cuBLASLt's plain product of the same sizes.
#include "cuda/bench/setting.h"

namespace padless::cuda::bench {
namespace {

struct Layer {
  const char* name;
  int64_t n, k;
  Activation activation;
  bool residual;
};

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
  const GemmPlan plan = plan_gemm(args, setting.device());
  auto workspace = DeviceArray::allocate(linear_workspace_bytes(args, plan));
  PADLESS_RETURN_IF_ERROR(workspace.status());
  auto seconds =
      setting.measure([&] { return linear(args, plan, workspace.value().data(), setting.stream()); });
  PADLESS_RETURN_IF_ERROR(seconds.status());
  const double rows = static_cast<double>(m), n = static_cast<double>(layer.n),
               k = static_cast<double>(layer.k);
  Measurement measurement{
      .op = "linear",
      .name = concat(layer.name, " [", m, ", ", layer.n, ", ", layer.k, "] t", plan.tile, " s", plan.splits),
      .seconds = seconds.value(),
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
