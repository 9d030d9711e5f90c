// device_properties(): what launch choices depend on, from the runtime.
#include "cuda/padless_cuda.h"
#include "cuda/platform.cuh"

namespace padless::cuda {
namespace {

// Compiled as all kernels are: what it was compiled for, they were.
__global__ void probe_kernel() {}

}  // namespace

Result<DeviceProperties> device_properties(int device) {
  // Attributes of a kernel are those of its code on the calling thread's device.
  PADLESS_RETURN_IF_ERROR(to_status(cudaSetDevice(device)));
  cudaDeviceProp native{};
  PADLESS_RETURN_IF_ERROR(to_status(cudaGetDeviceProperties(&native, device)));
  DeviceProperties properties;
  properties.sm_count = native.multiProcessorCount;
  properties.compute_capability = native.major * 10 + native.minor;
  properties.shared_bytes_per_block = native.sharedMemPerBlockOptin;
  properties.shared_bytes_per_sm = native.sharedMemPerMultiprocessor;
  properties.registers_per_sm = native.regsPerBlock;  // every supported GPU lets one block have them all
  constexpr int kLeastToOverlap = 90;
  cudaFuncAttributes code{};
  PADLESS_RETURN_IF_ERROR(to_status(cudaFuncGetAttributes(&code, probe_kernel)));
  properties.can_overlap =
      properties.compute_capability >= kLeastToOverlap && code.ptxVersion >= kLeastToOverlap;
  return properties;
}

}  // namespace padless::cuda
