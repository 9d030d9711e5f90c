// Tensor maps: how the TMA engine sees a tensor in global memory. Host side.
#pragma once

#include "cuda/platform.cuh"
#if PADLESS_EMULATED
#include "cuda/emulator/tensor_map.h"
#else
#include <cuda.h>
#endif

namespace padless::cuda::ptx {

#if PADLESS_EMULATED
using TensorMap = emulator::TensorMap;
#else
using TensorMap = CUtensorMap;
#endif

enum class Swizzle : uint32_t { none = 0, b32 = 1, b64 = 2, b128 = 3 };  // CUtensorMapSwizzle

struct TensorMapShape {
  unsigned rank;             // 1..5
  uint64_t extent[5];        // elements, fastest dimension first
  uint64_t stride_bytes[4];  // of dimensions 1..rank-1; multiples of 16
  uint32_t box[5];           // elements that one copy moves; box[0] spans at most the swizzle's bytes
  Swizzle swizzle;
};

// A map of `base` (device memory, 16-byte aligned); elements out of bounds read as zero. T is bf16, fp16,
// float or e4m3.
template <class T>
Status make_tensor_map(TensorMap& map, const T* base, const TensorMapShape& shape) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, fp16> || std::is_same_v<T, float> ||
                std::is_same_v<T, e4m3>);
#if PADLESS_EMULATED
  const char* error =
      emulator::encode_tensor_map(map, base, shape.rank, sizeof(T), shape.extent, shape.stride_bytes,
                                  shape.box, static_cast<unsigned>(shape.swizzle));
  return error == nullptr ? Status::ok() : Status(Code::kInvalidArgument, concat("tensor map: ", error));
#else
  using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                              const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                              CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
  // Through the runtime, so that the library loads where there is no driver.
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found;
#if CUDART_VERSION >= 12050
  PADLESS_RETURN_IF_ERROR(to_status(
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &found)));
#else
  PADLESS_RETURN_IF_ERROR(
      to_status(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &entry, cudaEnableDefault, &found)));
#endif
  PADLESS_CHECK(found == cudaDriverEntryPointSuccess, Code::kDevice, "",
                "the driver has no cuTensorMapEncodeTiled");
  constexpr CUtensorMapDataType kType = std::is_same_v<T, bf16>   ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                        : std::is_same_v<T, fp16> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                        : std::is_same_v<T, e4m3> ? CU_TENSOR_MAP_DATA_TYPE_UINT8
                                                                  : CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  const cuuint32_t element_strides[5] = {1, 1, 1, 1, 1};
  cuuint64_t extent[5], stride_bytes[4];
  for (unsigned i = 0; i < shape.rank; i++) extent[i] = shape.extent[i];
  for (unsigned i = 0; i + 1 < shape.rank; i++) stride_bytes[i] = shape.stride_bytes[i];
  const CUresult result = reinterpret_cast<Encode>(entry)(
      &map, kType, shape.rank, const_cast<T*>(base), extent, stride_bytes, shape.box, element_strides,
      CU_TENSOR_MAP_INTERLEAVE_NONE, static_cast<CUtensorMapSwizzle>(shape.swizzle),
      CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  PADLESS_CHECK(result == CUDA_SUCCESS, Code::kInvalidArgument, "",
                "cuTensorMapEncodeTiled failed: ", int{result});
  return Status::ok();
#endif
}

}  // namespace padless::cuda::ptx
