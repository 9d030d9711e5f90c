// Loads, stores and reductions with an order, on flags in global memory that blocks share.
#pragma once

#include "cuda/platform.cuh"

namespace padless::cuda::ptx {

// ld.acquire.gpu.global.u32. Under the emulator a polling loop must use it: it lets other threads run.
DEVICE uint32_t ld_acquire_gpu(const uint32_t* address CALL_SITE) {
#if PADLESS_EMULATED
  emulator::yield_while_polling(call_site);
  return __atomic_load_n(address, __ATOMIC_ACQUIRE);
#else
  uint32_t value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(address) : "memory");
  return value;
#endif
}

// st.release.gpu.global.u32
DEVICE void st_release_gpu(uint32_t* address, uint32_t value) {
#if PADLESS_EMULATED
  __atomic_store_n(address, value, __ATOMIC_RELEASE);
#else
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(address), "r"(value) : "memory");
#endif
}

// red.release.gpu.global.add.u32
DEVICE void red_add_release_gpu(uint32_t* address, uint32_t value) {
#if PADLESS_EMULATED
  __atomic_fetch_add(address, value, __ATOMIC_RELEASE);
#else
  asm volatile("red.release.gpu.global.add.u32 [%0], %1;" ::"l"(address), "r"(value) : "memory");
#endif
}

// atom.acq_rel.gpu.global.add.u32: the value before.
DEVICE uint32_t atom_add_acq_rel_gpu(uint32_t* address, uint32_t value) {
#if PADLESS_EMULATED
  return __atomic_fetch_add(address, value, __ATOMIC_ACQ_REL);
#else
  uint32_t old;
  asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;"
               : "=r"(old)
               : "l"(address), "r"(value)
               : "memory");
  return old;
#endif
}

}  // namespace padless::cuda::ptx
