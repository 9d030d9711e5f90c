// What the GEMM kernels take, from the arguments of linear(). Host side.
#pragma once

#include "cuda/checks.h"
#include "cuda/gemm/epilogue.cuh"
#include "cuda/padless_cuda.h"

namespace padless::cuda {

template <class T>
Epilogue<T> epilogue_of(const LinearArgs& args) {
  const bool whole =
      args.out.cols % kVectorElements == 0 && has_aligned_rows(args.out) && has_aligned_rows(args.residual);
  return {args.bias,
          elements<const T>(args.residual),
          args.out.data,
          args.residual.stride,
          args.out.stride,
          static_cast<int>(args.out.cols),
          args.activation,
          args.glu,
          args.out.dtype == DType::kF32 && args.in.dtype != DType::kF32,
          args.residual_first,
          whole};
}

inline RowCount rows_of(const LinearArgs& args) {
  return {static_cast<int32_t>(args.in.rows), args.rows_on_device};
}

}  // namespace padless::cuda
