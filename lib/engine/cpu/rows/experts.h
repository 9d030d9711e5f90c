// A feed-forward of experts on the CPU: the rows of each expert together, through its two products.
#pragma once

#include <cstdint>

#include "lib/core/matrix.h"
#include "lib/core/status.h"
#include "lib/engine/cpu/context.h"
#include "lib/engine/row_program.h"

namespace padless {

/** `in`, `residual` and `out` have at least `rows` rows of f32; `out` overlaps neither. */
Status run_experts_cpu(const CpuContext& context, const ExpertsStep& step, const Matrix& in,
                       const Matrix& residual, const Matrix& out, int64_t rows);

}  // namespace padless
