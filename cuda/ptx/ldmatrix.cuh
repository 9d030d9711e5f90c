// ldmatrix: a warp loads 8x8 matrices of 16-bit elements from shared memory as mma fragments.
//
// Lane i gives the 16-byte aligned address of row i % 8 of matrix i / 8. Afterwards lane i holds, of each
// matrix, row i / 4, columns 2 * (i % 4) and the next; transposed: column i / 4, rows 2 * (i % 4) and the
// next.
#pragma once

#include "cuda/ptx/address.cuh"

namespace padless::cuda::ptx {

// ldmatrix.sync.aligned.m8n8.x1.shared.b16 (addresses of lanes 0 to 7)
DEVICE void ldmatrix_x1(uint32_t& r, uint32_t row_address CALL_SITE) {
#if PADLESS_EMULATED
  emulator::ldmatrix(&r, 1, false, row_address, call_site);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
               : "=r"(r)
               : "r"(row_address)
               : "memory");
#endif
}

// ldmatrix.sync.aligned.m8n8.x2.shared.b16 (addresses of lanes 0 to 15)
DEVICE void ldmatrix_x2(uint32_t (&r)[2], uint32_t row_address CALL_SITE) {
#if PADLESS_EMULATED
  emulator::ldmatrix(r, 2, false, row_address, call_site);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(row_address)
               : "memory");
#endif
}

// ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16
DEVICE void ldmatrix_x2_trans(uint32_t (&r)[2], uint32_t row_address CALL_SITE) {
#if PADLESS_EMULATED
  emulator::ldmatrix(r, 2, true, row_address, call_site);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(row_address)
               : "memory");
#endif
}

// ldmatrix.sync.aligned.m8n8.x4.shared.b16
DEVICE void ldmatrix_x4(uint32_t (&r)[4], uint32_t row_address CALL_SITE) {
#if PADLESS_EMULATED
  emulator::ldmatrix(r, 4, false, row_address, call_site);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row_address)
               : "memory");
#endif
}

// ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16
DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t row_address CALL_SITE) {
#if PADLESS_EMULATED
  emulator::ldmatrix(r, 4, true, row_address, call_site);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row_address)
               : "memory");
#endif
}

}  // namespace padless::cuda::ptx
