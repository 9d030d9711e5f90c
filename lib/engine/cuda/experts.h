// A feed-forward of experts on a GPU, without a look at the routing from the host.
#pragma once

#include "lib/engine/cuda/stream.h"
#include "lib/engine/row_program.h"

namespace padless::cuda {

/** `in` and `residual` are activations, `out` the same or f32; it overlaps neither. */
Status run_experts(CudaQueue& queue, const ExpertsStep& step, const Matrix& in, const Matrix& residual,
                   const Matrix& out, const int32_t* rows_on_device, const GemmPlanOptions& options);

}  // namespace padless::cuda
