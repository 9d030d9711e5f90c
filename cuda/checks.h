// Host checks that launch functions share, and the dispatch from a run-time dtype to a storage type.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "cuda/platform.cuh"
#include "lib/core/matrix.h"

namespace padless::cuda {

inline bool is_aligned_16(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

/** Rows start at 16-byte boundaries. An absent matrix (data == nullptr) is aligned. */
inline bool has_aligned_rows(const Matrix& matrix) {
  return is_aligned_16(matrix.data) &&
         matrix.stride * static_cast<int64_t>(dtype_size(matrix.dtype)) % 16 == 0;
}

/** E_INVALID_ARGUMENT unless `matrix` is a legal view of rows x cols. */
inline Status check_matrix(const Matrix& matrix, int64_t rows, int64_t cols, const char* name) {
  PADLESS_CHECK(matrix.rows == rows && matrix.cols == cols, Code::kInvalidArgument, name, name, " is [",
                matrix.rows, ", ", matrix.cols, "], expected [", rows, ", ", cols, "]");
  PADLESS_CHECK(rows >= 0 && cols >= 0 && rows <= std::numeric_limits<int32_t>::max() &&
                    cols <= std::numeric_limits<int32_t>::max(),
                Code::kInvalidArgument, name, name, " is [", rows, ", ", cols,
                "]: a dimension is negative or over 2^31 - 1");
  PADLESS_CHECK(rows <= 1 || matrix.stride >= cols, Code::kInvalidArgument, name, name, " has stride ",
                matrix.stride, ", less than its ", cols, " columns");
  PADLESS_CHECK(matrix.data != nullptr || rows == 0 || cols == 0, Code::kInvalidArgument, name, name,
                " has no data");
  PADLESS_CHECK(reinterpret_cast<uintptr_t>(matrix.data) % dtype_size(matrix.dtype) == 0,
                Code::kInvalidArgument, name, name, " is not aligned to its ", dtype_name(matrix.dtype),
                " elements");
  return Status::ok();
}

inline Status check_dtype(const Matrix& matrix, DType expected, const char* name) {
  PADLESS_CHECK(matrix.dtype == expected, Code::kInvalidArgument, name, name, " is ",
                dtype_name(matrix.dtype), ", expected ", dtype_name(expected));
  return Status::ok();
}

inline Status check_same_dtype(const Matrix& matrix, const Matrix& like, const char* name) {
  return matrix.data == nullptr ? Status::ok() : check_dtype(matrix, like.dtype, name);
}

/** Calls f.template operator()<T>() with the type that stores `dtype`: bf16, fp16 or float. */
template <class F>
Status with_storage(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kBF16:
      return f.template operator()<bf16>();
    case DType::kF16:
      return f.template operator()<fp16>();
    case DType::kF32:
      return f.template operator()<float>();
    default:
      return {Code::kUnsupported, concat("storage in ", dtype_name(dtype), "; supported: bf16, f16, f32")};
  }
}

inline bool is_storage(DType dtype) {
  return dtype == DType::kBF16 || dtype == DType::kF16 || dtype == DType::kF32;
}

template <class T>
T* elements(const Matrix& matrix) {
  return static_cast<T*>(matrix.data);
}

/** Heads that follow each other in a row. */
inline Status check_heads(int64_t heads, int64_t head_dim) {
  PADLESS_CHECK(heads > 0 && head_dim > 0 && heads <= std::numeric_limits<int32_t>::max() / head_dim,
                Code::kInvalidArgument, "heads", heads, " heads of ", head_dim, " columns");
  return Status::ok();
}

inline int64_t divide_up(int64_t value, int64_t divisor) { return (value + divisor - 1) / divisor; }

/** More blocks than one launch takes. */
inline Status check_grid(int64_t blocks, const char* name) {
  PADLESS_CHECK(blocks <= std::numeric_limits<int32_t>::max(), Code::kUnsupported, name, name, " takes ",
                blocks, " blocks; one launch has at most 2^31 - 1");
  return Status::ok();
}

inline unsigned grid_of(int64_t blocks) { return static_cast<unsigned>(blocks); }

}  // namespace padless::cuda
