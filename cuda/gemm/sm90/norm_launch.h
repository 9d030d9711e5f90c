// Launches of the product with a norm. linear_norm() has checked the arguments.
#pragma once

#include "cuda/checks.h"
#include "cuda/gemm/sm90/tiles.h"
#include "cuda/padless_linear_norm.h"

namespace padless::cuda {

/** What the kernel asks of a call that is otherwise right: columns that a cluster holds, all in vectors of
 * eight. */
inline bool takes_norm_kernel(const LinearNormArgs& args) {
  constexpr int64_t kVector = 8;
  return (args.in.dtype == DType::kBF16 || args.in.dtype == DType::kF16) && args.in.cols > 0 &&
         args.out.cols <= kMostNormColumns && args.out.cols % kVector == 0 && has_aligned_rows(args.in) &&
         has_aligned_rows(args.weight) && has_aligned_rows(args.residual) && has_aligned_rows(args.out) &&
         has_aligned_rows(args.sum);
}

/** In bf16 or fp16. */
template <class T>
Status enqueue_linear_norm(const LinearNormArgs& args, const LinearNormPlan& plan, LaunchStream stream);

}  // namespace padless::cuda
