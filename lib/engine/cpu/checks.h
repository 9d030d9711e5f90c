// Checks of operands that several CPU ops make.
#pragma once

#include <cstdint>

#include "lib/core/matrix.h"
#include "lib/core/status.h"

namespace padless {

/** E_INVALID_ARGUMENT naming `field` unless the matrix is of `dtype`, at least `rows` x exactly `cols`, and
 * has data. */
Status check_matrix(const Matrix& matrix, int64_t rows, int64_t cols, const char* field,
                    DType dtype = DType::kF32);

}  // namespace padless
