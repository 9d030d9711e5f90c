// The CUDA runtime API on a machine with CUDA, its host twin under the emulator; and errors as Status.
#pragma once

#include "lib/core/status.h"

// kRuntimeKind: what devices of the runtime are called, "cuda:0".
#if defined(PADLESS_CUDA_RUNTIME) || defined(__CUDACC__)
#include <cuda_runtime.h>
namespace padless::cuda {
inline constexpr const char* kRuntimeKind = "cuda";
}
#else
#include "cuda/emulator/runtime/runtime_api.h"
namespace padless::cuda {
inline constexpr const char* kRuntimeKind = "emulator";
}
#endif

namespace padless::cuda {

// Out of memory keeps its own code: the engine must go on working after it. Everything else is the device's
// fault.
inline Status to_status(cudaError_t error) {
  if (error == cudaSuccess) return Status::ok();
  const Code code = error == cudaErrorMemoryAllocation ? Code::kOutOfMemory : Code::kDevice;
  return {code, concat(cudaGetErrorName(error), ": ", cudaGetErrorString(error))};
}

/** A stream, and whether a kernel launched on it may start before the one ahead of it has ended: see
 * cuda/tile/stream_order.cuh. */
struct LaunchStream {
  LaunchStream(cudaStream_t handle = nullptr, bool overlap = false) : stream(handle), overlaps(overlap) {}

  cudaStream_t stream;
  bool overlaps;  // needs DeviceProperties::can_overlap
};

}  // namespace padless::cuda
