// stmatrix (sm_90): a warp stores mma fragments as 8x8 matrices of 16-bit elements; the inverse of ldmatrix.
#pragma once

#include "cuda/ptx/address.cuh"

namespace padless::cuda::ptx {

// stmatrix.sync.aligned.m8n8.x2.shared.b16 (addresses of lanes 0 to 15)
DEVICE void stmatrix_x2(uint32_t row_address, const uint32_t (&r)[2] CALL_SITE) {
#if PADLESS_EMULATED
  emulator::stmatrix(r, 2, false, row_address, call_site);
#else
  asm volatile("stmatrix.sync.aligned.m8n8.x2.shared.b16 [%0], {%1, %2};" ::"r"(row_address), "r"(r[0]),
               "r"(r[1])
               : "memory");
#endif
}

// stmatrix.sync.aligned.m8n8.x4.shared.b16
DEVICE void stmatrix_x4(uint32_t row_address, const uint32_t (&r)[4] CALL_SITE) {
#if PADLESS_EMULATED
  emulator::stmatrix(r, 4, false, row_address, call_site);
#else
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row_address),
               "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
               : "memory");
#endif
}

// stmatrix.sync.aligned.m8n8.x4.trans.shared.b16
DEVICE void stmatrix_x4_trans(uint32_t row_address, const uint32_t (&r)[4] CALL_SITE) {
#if PADLESS_EMULATED
  emulator::stmatrix(r, 4, true, row_address, call_site);
#else
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row_address),
               "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
               : "memory");
#endif
}

}  // namespace padless::cuda::ptx
