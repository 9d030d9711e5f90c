// Tensor maps of the operands of the sm_90a GEMMs. Host side.
#pragma once

#include "cuda/checks.h"
#include "cuda/gemm/sm90/operand.cuh"
#include "cuda/ptx/tensor_map.cuh"

namespace padless::cuda {

/** Of a K-major operand, whose boxes are 128 bytes of `box_rows` rows. A single row may have any stride. */
template <class T>
Status make_operand_map(ptx::TensorMap& map, const Matrix& matrix, int box_rows) {
  constexpr int64_t kAligned = 16 / sizeof(T);
  const int64_t stride = matrix.rows > 1 ? matrix.stride : divide_up(matrix.cols, kAligned) * kAligned;
  return ptx::make_tensor_map(
      map, elements<const T>(matrix),
      {.rank = 2,
       .extent = {static_cast<uint64_t>(matrix.cols), static_cast<uint64_t>(matrix.rows)},
       .stride_bytes = {static_cast<uint64_t>(stride) * sizeof(T)},
       .box = {kOperandBytes / sizeof(T), static_cast<uint32_t>(box_rows)},
       .swizzle = ptx::Swizzle::b128});
}

}  // namespace padless::cuda
