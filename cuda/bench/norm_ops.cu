// Products whose rows are normalised: linear() and residual_norm(), and on Hopper the two in one kernel by
// every tile that holds the rows, with what the planner would do.
#include "cuda/bench/setting.h"
#include "cuda/gemm/sm90/tiles.h"
#include "cuda/padless_linear_norm.h"

namespace padless::cuda::bench {
namespace {

struct Operands {
  LinearNormArgs args;
  Matrix between;  // the product's result, where two kernels compute it
};

Result<Operands> prepare(Setting& setting, int64_t n, int64_t k) {
  Operands made;
  const auto take = [&](Matrix& matrix, int64_t rows, int64_t cols) {
    auto memory = setting.random(DType::kBF16, rows, cols);
    if (memory.is_ok()) matrix = memory.value();
    return memory.status();
  };
  const int64_t m = setting.tokens();
  PADLESS_RETURN_IF_ERROR(take(made.args.in, m, k));
  PADLESS_RETURN_IF_ERROR(take(made.args.weight, n, k));
  PADLESS_RETURN_IF_ERROR(take(made.args.residual, m, n));
  PADLESS_RETURN_IF_ERROR(take(made.args.out, m, n));
  PADLESS_RETURN_IF_ERROR(take(made.between, m, n));
  auto vector = setting.random_vector(n);
  PADLESS_RETURN_IF_ERROR(vector.status());
  made.args.bias = made.args.gamma = made.args.beta = vector.value();
  return made;
}

Result<double> measure_apart(Setting& setting, const Operands& operands) {
  const LinearNormArgs& args = operands.args;
  LinearArgs product;
  product.in = args.in;
  product.weight = args.weight;
  product.bias = args.bias;
  product.residual = args.residual;
  product.out = operands.between;
  ResidualNormArgs norm;
  norm.in = operands.between;
  norm.gamma = args.gamma;
  norm.beta = args.beta;
  norm.out = args.out;
  const GemmPlan plan = plan_gemm(product, setting.device());
  auto workspace = DeviceArray::allocate(linear_workspace_bytes(product, plan));
  PADLESS_RETURN_IF_ERROR(workspace.status());
  return setting.measure([&]() -> Status {
    PADLESS_RETURN_IF_ERROR(linear(product, plan, workspace.value().data(), setting.stream()));
    return residual_norm(norm, setting.stream());
  });
}

Status bench_product(Setting& setting, Report& report, const char* name, int64_t n, int64_t k) {
  auto prepared = prepare(setting, n, k);
  PADLESS_RETURN_IF_ERROR(prepared.status());
  const LinearNormArgs& args = prepared.value().args;
  const double rows = static_cast<double>(args.in.rows), cells = rows * static_cast<double>(n),
               depth = static_cast<double>(k);
  const auto add = [&](const std::string& way, double seconds) {
    report.add({.op = "linear_norm",
                .name = concat(name, " [", args.in.rows, ", ", n, ", ", k, "] ", way),
                .seconds = seconds,
                .flops = 2 * cells * depth,
                .bytes = 2 * (rows * depth + static_cast<double>(n) * depth + 2 * cells)});
  };
  auto apart = measure_apart(setting, prepared.value());
  PADLESS_RETURN_IF_ERROR(apart.status());
  add("two kernels", apart.value());
  const LinearNormPlan chosen = plan_linear_norm(args, setting.device());
  const LinearNormPlan any = plan_linear_norm(args, setting.device(), {}, NormFusion::kAlways);
  for (int tile = 0; tile < kNormTileCount && any.fuses(); tile++) {
    if (norm_tile_columns(kNormTiles[tile]) != norm_tile_columns(kNormTiles[any.tile])) continue;
    const LinearNormPlan plan{tile, any.blocks};
    auto seconds = setting.measure([&] { return linear_norm(args, plan, setting.stream()); });
    PADLESS_RETURN_IF_ERROR(seconds.status());
    add(concat("one, t", tile, chosen.tile == tile ? ", planned" : ""), seconds.value());
  }
  setting.release();
  return Status::ok();
}

}  // namespace

Status bench_linear_norm(Setting& setting, Report& report) {
  const LayerShape& s = setting.options().shape;
  PADLESS_RETURN_IF_ERROR(bench_product(setting, report, "out", s.hidden, s.hidden));
  return bench_product(setting, report, "ffn2", s.hidden, s.mlp);
}

}  // namespace padless::cuda::bench
