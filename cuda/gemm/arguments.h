// What the GEMM kernels take, from the arguments of linear(). Host side.
#pragma once

#include <type_traits>

#include "cuda/checks.h"
#include "cuda/gemm/epilogue.cuh"
#include "cuda/padless_cuda.h"

namespace padless::cuda {

/** What the residual and, unless it is f32, the result are stored in. */
inline DType result_dtype(const LinearArgs& args) {
  if (args.in.dtype != DType::kE4M3) return args.in.dtype;
  if (args.residual.data != nullptr) return args.residual.dtype;
  return args.out.dtype == DType::kF32 ? DType::kBF16 : args.out.dtype;
}

/** Of a product of `In` with a result in T. */
template <class In, class T>
using EpilogueOf = std::conditional_t<std::is_same_v<In, e4m3>, ScaledEpilogue<T>, Epilogue<T>>;

template <class E>
E epilogue_of(const LinearArgs& args) {
  using T = typename E::Element;
  const bool whole =
      args.out.cols % kVectorElements == 0 && has_aligned_rows(args.out) && has_aligned_rows(args.residual);
  const Epilogue<T> epilogue{args.bias,
                             elements<const T>(args.residual),
                             args.out.data,
                             args.residual.stride,
                             args.out.stride,
                             static_cast<int>(args.out.cols),
                             args.activation,
                             args.glu,
                             args.out.dtype == DType::kF32 && !std::is_same_v<T, float>,
                             args.residual_first,
                             whole};
  if constexpr (E::kScaled)
    return {epilogue, args.in_scales, args.weight_scales};
  else
    return epilogue;
}

inline RowCount rows_of(const LinearArgs& args) {
  return {static_cast<int32_t>(args.in.rows), args.rows_on_device};
}

}  // namespace padless::cuda
