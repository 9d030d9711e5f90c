// setmaxnreg (sm_90a): warps of a warpgroup give registers back or take them.
#pragma once

#include "cuda/platform.cuh"

namespace padless::cuda::ptx {

// setmaxnreg.inc.sync.aligned.u32
template <int kRegisters>
DEVICE void setmaxnreg_inc(CALL_SITE_ONLY) {
  static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 256);
#if PADLESS_EMULATED
  emulator::set_register_limit(kRegisters, call_site);
#else
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}

// setmaxnreg.dec.sync.aligned.u32
template <int kRegisters>
DEVICE void setmaxnreg_dec(CALL_SITE_ONLY) {
  static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 256);
#if PADLESS_EMULATED
  emulator::set_register_limit(kRegisters, call_site);
#else
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
#endif
}

}  // namespace padless::cuda::ptx
