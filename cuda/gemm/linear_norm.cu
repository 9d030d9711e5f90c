// linear_norm(): checks, and the launch of the one kernel there is.
#include <utility>

#include "cuda/gemm/sm90/norm_launch.h"

namespace padless::cuda {
namespace {

Status check(const LinearNormArgs& args, const LinearNormPlan& plan) {
  const int64_t m = args.in.rows, k = args.in.cols, n = args.out.cols;
  PADLESS_CHECK(args.in.dtype == DType::kBF16 || args.in.dtype == DType::kF16, Code::kUnsupported, "in",
                "a linear layer with a norm in ", dtype_name(args.in.dtype), "; supported: bf16, f16");
  PADLESS_RETURN_IF_ERROR(check_matrix(args.in, m, k, "in"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.weight, n, k, "weight"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.out, m, n, "out"));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.weight, args.in.dtype, "weight"));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.out, args.in.dtype, "out"));
  for (const auto& [matrix, name] : {std::pair{&args.residual, "residual"}, std::pair{&args.sum, "sum"}}) {
    if (matrix->data == nullptr) continue;
    PADLESS_RETURN_IF_ERROR(check_matrix(*matrix, m, n, name));
    PADLESS_RETURN_IF_ERROR(check_dtype(*matrix, args.in.dtype, name));
  }
  PADLESS_CHECK(args.gamma != nullptr || n == 0, Code::kInvalidArgument, "gamma", "gamma is missing");
  PADLESS_CHECK(plan.tile >= 0 && plan.tile < kNormTileCount && plan.blocks >= 0, Code::kInvalidArgument,
                "plan", "tile ", plan.tile, " is not one of the kernel's ", kNormTileCount);
  const int64_t most = norm_tile_columns(kNormTiles[plan.tile]);
  PADLESS_CHECK(n <= most && takes_norm_kernel(args), Code::kInvalidArgument, "plan", "tile ", plan.tile,
                " takes up to ", most, " columns, a multiple of eight, K above 0, and 16-byte aligned rows");
  return Status::ok();
}

}  // namespace

Status linear_norm(const LinearNormArgs& args, const LinearNormPlan& plan, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check(args, plan));
  if (args.in.rows == 0 || args.out.cols == 0) return Status::ok();
  return args.in.dtype == DType::kBF16 ? enqueue_linear_norm<bf16>(args, plan, stream)
                                       : enqueue_linear_norm<fp16>(args, plan, stream);
}

}  // namespace padless::cuda
