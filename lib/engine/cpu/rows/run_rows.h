// Runs a RowProgram on the CPU.
#pragma once

#include <cstdint>
#include <span>

#include "lib/core/matrix.h"
#include "lib/core/status.h"
#include "lib/engine/cpu/context.h"
#include "lib/engine/row_program.h"

namespace padless {

/**
 * Matrices are f32, at least `rows` rows; weights come from pack_linear_cpu with the same `context.isa`.
 * Every element has one fixed order of summation: a row gets the same bits alone, in any batch, with any
 * number of threads and any cache sizes. E_INVALID_ARGUMENT where shapes, dtypes or slots do not fit.
 */
Status run_rows_cpu(const CpuContext& context, const RowProgram& program, std::span<const Matrix> matrices,
                    int64_t rows);

}  // namespace padless
