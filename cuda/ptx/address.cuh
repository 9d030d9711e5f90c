// Addresses of the shared state space.
#pragma once

#include "cuda/platform.cuh"

namespace padless::cuda::ptx {

// cvta.to.shared: the 32-bit shared address of a generic pointer into this block's shared memory.
DEVICE uint32_t cvta_to_shared(const void* pointer CALL_SITE) {
#if PADLESS_EMULATED
  return emulator::shared_address(pointer, call_site);
#else
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
#endif
}

}  // namespace padless::cuda::ptx
