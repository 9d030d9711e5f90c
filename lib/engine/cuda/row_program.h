// A row program on a GPU: one kernel a step, or one for a product and the norm behind it; temporaries in
// stream order.
#pragma once

#include <span>

#include "lib/engine/cuda/stream.h"
#include "lib/engine/row_program.h"

namespace padless::cuda {

/** Engine::run_rows. A temporary is f32 if what makes it reads f32, otherwise in 16 bits. `rows_on_device`:
 * the true number of rows where `rows` is a capacity, or null. */
Status run_row_program(CudaQueue& queue, const RowProgram& program, std::span<const Matrix> matrices,
                       int64_t rows, const int32_t* rows_on_device, const GemmPlanOptions& options,
                       NormFusion norm_fusion);

}  // namespace padless::cuda
