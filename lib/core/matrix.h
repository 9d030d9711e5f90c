// Views of device memory. They own nothing.
#pragma once

#include <cstdint>

#include "lib/core/dtype.h"

namespace padless {

/** Row-major [rows, cols]; `stride` elements lie between the starts of two rows (>= cols). */
struct Matrix {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  /** Columns [first, first + count) of every row. */
  Matrix columns(int64_t first, int64_t count) const {
    return {static_cast<char*>(data) + first * static_cast<int64_t>(dtype_size(dtype)), dtype, rows, count,
            stride};
  }
  template <class T>
  T* row(int64_t index) const {
    return static_cast<T*>(data) + index * stride;
  }
};

}  // namespace padless
