// device_properties(): what launch choices depend on, from the runtime.
#include "cuda/padless_cuda.h"

namespace padless::cuda {

Result<DeviceProperties> device_properties(int device) {
  cudaDeviceProp native{};
  PADLESS_RETURN_IF_ERROR(to_status(cudaGetDeviceProperties(&native, device)));
  DeviceProperties properties;
  properties.sm_count = native.multiProcessorCount;
  properties.compute_capability = native.major * 10 + native.minor;
  properties.shared_bytes_per_block = native.sharedMemPerBlockOptin;
  properties.shared_bytes_per_sm = native.sharedMemPerMultiprocessor;
  properties.registers_per_sm = native.regsPerBlock;  // every supported GPU lets one block have them all
  return properties;
}

}  // namespace padless::cuda
