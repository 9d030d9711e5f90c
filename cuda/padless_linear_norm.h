// The launch API of linear layers whose result is normalised at once; the rules of padless_cuda.h hold.
#pragma once

#include "cuda/padless_cuda.h"

namespace padless::cuda {

/** sum = in weight^T + bias + residual; out = norm(sum): what linear() and residual_norm() compute, in one
 * kernel of compute capability 9.0. Statistics are of the sums before they are rounded, so that the bits are
 * not those of the two. bf16 and f16. */
struct LinearNormArgs {
  Matrix in;                    // [M, K]
  Matrix weight;                // [N, K], in's dtype
  const float* bias = nullptr;  // [N], or null
  Matrix residual;              // [M, N], in's dtype; data == nullptr: none; may be `out` or `sum`
  NormKind kind = NormKind::kLayer;
  const float* gamma = nullptr;  // [N]
  const float* beta = nullptr;   // [N], or null
  float eps = 1e-12f;
  Matrix out;  // [M, N], in's dtype
  Matrix sum;  // [M, N], in's dtype: what a pre-norm layer carries on; data == nullptr: not wanted
  const int32_t* rows_on_device = nullptr;
};

struct LinearNormPlan {
  int tile = -1;   // an index into kNormTiles
  int blocks = 0;  // of the grid; 0: one a tile

  /** Otherwise it is linear() and residual_norm() that are to be called. */
  bool fuses() const { return tile >= 0; }
};
/** By NormFusion; kAuto compares what both ways are expected to take. The kernel takes N up to 1024, a
 * multiple of eight, K above 0, and 16-byte aligned rows; a row's bits depend on the row and the weight
 * alone. */
LinearNormPlan plan_linear_norm(const LinearNormArgs& args, const DeviceProperties& device,
                                const GemmPlanOptions& options = {}, NormFusion fusion = NormFusion::kAuto);
Status linear_norm(const LinearNormArgs& args, const LinearNormPlan& plan, LaunchStream stream);

}  // namespace padless::cuda
