#include "lib/engine/cpu/checks.h"

namespace padless {

Status check_matrix(const Matrix& matrix, int64_t rows, int64_t cols, const char* field, DType dtype) {
  PADLESS_CHECK(matrix.dtype == dtype, Code::kInvalidArgument, field, field, " is ", dtype_name(matrix.dtype),
                "; the CPU engine computes on ", dtype_name(dtype), " here");
  PADLESS_CHECK(matrix.rows >= rows && matrix.cols == cols, Code::kInvalidArgument, field, field, " is [",
                matrix.rows, ", ", matrix.cols, "]; it must be [", rows, ", ", cols, "]");
  PADLESS_CHECK(matrix.stride >= matrix.cols, Code::kInvalidArgument, field, field, " has stride ",
                matrix.stride, ", less than its ", matrix.cols, " columns");
  PADLESS_CHECK(matrix.data != nullptr || rows == 0 || cols == 0, Code::kInvalidArgument, field, field,
                " has no data");
  return Status::ok();
}

}  // namespace padless
