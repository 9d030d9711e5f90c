// Fences between the generic and the asynchronous proxy, and after mbarrier.init.
#pragma once

#include "cuda/platform.cuh"

namespace padless::cuda::ptx {

// fence.proxy.async.shared::cta: this thread's ordinary writes to shared memory become visible to TMA and
// wgmma.
DEVICE void fence_proxy_async() {
#if PADLESS_EMULATED
  emulator::fence_proxy_async();
#else
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// fence.mbarrier_init.release.cluster: initialised barriers become visible to the cluster's next barrier.
DEVICE void fence_mbarrier_init() {
#if !PADLESS_EMULATED
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

}  // namespace padless::cuda::ptx
