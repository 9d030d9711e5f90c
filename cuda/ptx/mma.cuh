// mma.sync: a warp multiplies small tiles; every lane holds a fragment of each operand.
//
// With g = lane / 4 and t = 2 * (lane % 4):  a = {A[g][t..], A[g+8][t..], A[g][t+8..], A[g+8][t+8..]}
// (pairs), b = {B[t..][g], B[t+8..][g]} (pairs along k),  c and d = {D[g][t], D[g][t+1], D[g+8][t],
// D[g+8][t+1]}.
#pragma once

#include "cuda/platform.cuh"

namespace padless::cuda::ptx {

// mma.sync.aligned.m16n8k16.row.col.f32.T.T.f32: d[16x8] = a[16x16] * b[16x8] + c; T is bf16 or fp16.
template <class T>
DEVICE void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                         const float (&c)[4] CALL_SITE) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, fp16>);
#if PADLESS_EMULATED
  emulator::mma_m16n8k16(
      d, a, b, c, std::is_same_v<T, bf16> ? emulator::Element::bf16 : emulator::Element::fp16, call_site);
#else
  if constexpr (std::is_same_v<T, bf16>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]),
          "f"(c[3]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]),
          "f"(c[3]));
  }
#endif
}

}  // namespace padless::cuda::ptx
