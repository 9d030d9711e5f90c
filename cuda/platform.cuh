// The one header that every kernel and every ptx/ wrapper includes.
//
// Compiled by nvcc it is a thin veneer over CUDA C++. Compiled by a host C++20 compiler it maps the same
// sources onto the emulator (cuda/emulator/), where each CUDA thread is a fiber. Kernels keep to this
// vocabulary:
//
//   SHARED_STORAGE(T, name)   the block's dynamic shared memory seen as one struct T: the only way to get
//   shared memory REGS(type, name, dims)    a register array, poisoned with NaN on the host: REGS(float,
//   accumulator, [8][4]); DEVICE, UNROLL, KASSERT   inline device function; full unrolling; an assertion that
//   only the emulator evaluates bf16, fp16                storage types; static_cast<float>(x) and T(f)
//   convert LaunchConfig, launch()    grid, block, shared bytes, stream, cluster; an error comes back as a
//   Status
//
// A body has no asm, <<<>>>, __CUDA_ARCH__ or cooperative groups: the host compiler would take another branch
// or none.
#pragma once

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>
#include <type_traits>
#include <utility>

#include "cuda/runtime.h"

#define PADLESS_EMULATED 0
#define CALL_SITE
#define CALL_SITE_ONLY
#define FORWARD_CALL_SITE
#define FORWARD_CALL_SITE_ONLY
#define SHARED_STORAGE(T, name)                                                    \
  extern __shared__ __align__(1024) unsigned char padless_dynamic_shared_memory[]; \
  T& name = *reinterpret_cast<T*>(padless_dynamic_shared_memory)
#define REGS(T, name, dims) T name dims
#define DEVICE __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define KASSERT(condition) static_cast<void>(0)
#else
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cuda/emulator/kernel_language.h"
#include "cuda/runtime.h"

#define PADLESS_EMULATED 1
// A wrapper's trailing parameter that records the line of the kernel which called it.
#define CALL_SITE_ONLY \
  ::padless::cuda::emulator::CallSite call_site = ::padless::cuda::emulator::CallSite::current()
#define CALL_SITE , CALL_SITE_ONLY
#define FORWARD_CALL_SITE_ONLY call_site
#define FORWARD_CALL_SITE , call_site
#define SHARED_STORAGE(T, name) \
  T& name = *reinterpret_cast<T*>(::padless::cuda::emulator::dynamic_shared_memory(sizeof(T), alignof(T)))
#define REGS(T, name, dims) \
  T name dims;              \
  ::padless::cuda::emulator::poison_registers(name, sizeof(name))
#define DEVICE inline
#define UNROLL
#define KASSERT(condition)                                                             \
  do {                                                                                 \
    if (!(condition))                                                                  \
      ::padless::cuda::emulator::fail("KASSERT(" #condition ") failed",                \
                                      ::padless::cuda::emulator::CallSite::current()); \
  } while (false)
#endif

namespace padless::cuda {

using bf16 = __nv_bfloat16;
using fp16 = __half;
using e4m3 = __nv_fp8_e4m3;  // 8 bits: operands of wgmma only

struct LaunchConfig {
  dim3 grid, block;
  size_t shared_bytes = 0;  // dynamic shared memory of a block
  LaunchStream stream{};
  dim3 cluster{1, 1, 1};  // in blocks; the grid must be a multiple of it
};

// Enqueues kernel(arguments...) on config.stream; the arguments are converted to the kernel's parameter types
// here. Errors of the launch itself come back at once, errors of the kernel at the next synchronisation.
template <class... Parameters, class... Arguments>
Status launch(void (*kernel)(Parameters...), const LaunchConfig& config, Arguments&&... arguments) {
#if PADLESS_EMULATED
  return to_status(emulator::enqueue_kernel({config.grid, config.block, config.cluster, config.shared_bytes,
                                             config.stream.stream, config.stream.overlaps},
                                            kernel, std::forward<Arguments>(arguments)...));
#else
  constexpr size_t kSharedBytesWithoutOptIn = 48 * 1024;
  if (config.shared_bytes > kSharedBytesWithoutOptIn) {
    PADLESS_RETURN_IF_ERROR(to_status(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                           cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                           static_cast<int>(config.shared_bytes))));
  }
  cudaLaunchConfig_t native{};
  cudaLaunchAttribute attributes[2];
  native.gridDim = config.grid;
  native.blockDim = config.block;
  native.dynamicSmemBytes = config.shared_bytes;
  native.stream = config.stream.stream;
  native.attrs = attributes;
  if (config.cluster.x * config.cluster.y * config.cluster.z > 1) {
    cudaLaunchAttribute& attribute = attributes[native.numAttrs++];
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = config.cluster.x;
    attribute.val.clusterDim.y = config.cluster.y;
    attribute.val.clusterDim.z = config.cluster.z;
  }
  if (config.stream.overlaps) {
    cudaLaunchAttribute& attribute = attributes[native.numAttrs++];
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
  }
  return to_status(cudaLaunchKernelEx(&native, kernel, std::forward<Arguments>(arguments)...));
#endif
}

}  // namespace padless::cuda
