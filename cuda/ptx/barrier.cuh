// Named barriers of a block: barrier 0 is __syncthreads(), 1 to 15 are free.
#pragma once

#include "cuda/platform.cuh"

namespace padless::cuda::ptx {

// barrier.cta.sync.aligned: waits until `threads` (a multiple of 32) threads have arrived.
DEVICE void barrier_sync(unsigned id, unsigned threads CALL_SITE) {
#if PADLESS_EMULATED
  emulator::named_barrier(id, threads, true, call_site);
#else
  asm volatile("barrier.cta.sync.aligned %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

// barrier.cta.arrive.aligned: arrives without waiting.
DEVICE void barrier_arrive(unsigned id, unsigned threads CALL_SITE) {
#if PADLESS_EMULATED
  emulator::named_barrier(id, threads, false, call_site);
#else
  asm volatile("barrier.cta.arrive.aligned %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

}  // namespace padless::cuda::ptx
