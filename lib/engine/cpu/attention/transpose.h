// Square transposes of as many registers as a register has lanes.
#pragma once

#include "lib/engine/cpu/simd/vec.h"

namespace padless::simd {
namespace {

#if defined(PADLESS_ISA_AVX512)

// The masked forms with all lanes are the plain instructions; GCC 12 warns of the plain forms' own headers.
inline __m512 unpack_low(__m512 a, __m512 b) { return _mm512_maskz_unpacklo_ps(0xffff, a, b); }
inline __m512 unpack_high(__m512 a, __m512 b) { return _mm512_maskz_unpackhi_ps(0xffff, a, b); }
inline __m512 unpack_low_pairs(__m512 a, __m512 b) {
  return _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, _mm512_castps_pd(a), _mm512_castps_pd(b)));
}
inline __m512 unpack_high_pairs(__m512 a, __m512 b) {
  return _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, _mm512_castps_pd(a), _mm512_castps_pd(b)));
}
/** Quarters 0 and 2 of a, then of b; the other is quarters 1 and 3. */
inline __m512 even_quarters(__m512 a, __m512 b) { return _mm512_maskz_shuffle_f32x4(0xffff, a, b, 0x88); }
inline __m512 odd_quarters(__m512 a, __m512 b) { return _mm512_maskz_shuffle_f32x4(0xffff, a, b, 0xdd); }

/** rows[i][j] becomes rows[j][i]. */
inline void transpose(Vec (&rows)[16]) {
  __m512 a[16];
  __m512 b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = unpack_low(rows[i].v, rows[i + 1].v);
    a[i + 1] = unpack_high(rows[i].v, rows[i + 1].v);
  }
  // b[4 g + c]: in each quarter of the register, column 4 quarter + c of rows 4 g to 4 g + 3.
  for (int i = 0; i < 16; i += 4) {
    b[i] = unpack_low_pairs(a[i], a[i + 2]);
    b[i + 1] = unpack_high_pairs(a[i], a[i + 2]);
    b[i + 2] = unpack_low_pairs(a[i + 1], a[i + 3]);
    b[i + 3] = unpack_high_pairs(a[i + 1], a[i + 3]);
  }
  for (int c = 0; c < 4; ++c) {
    const __m512 even0 = even_quarters(b[c], b[4 + c]);
    const __m512 odd0 = odd_quarters(b[c], b[4 + c]);
    const __m512 even1 = even_quarters(b[8 + c], b[12 + c]);
    const __m512 odd1 = odd_quarters(b[8 + c], b[12 + c]);
    rows[c].v = even_quarters(even0, even1);
    rows[8 + c].v = odd_quarters(even0, even1);
    rows[4 + c].v = even_quarters(odd0, odd1);
    rows[12 + c].v = odd_quarters(odd0, odd1);
  }
}

#elif defined(PADLESS_ISA_AVX2)

/** rows[i][j] becomes rows[j][i]. */
inline void transpose(Vec (&rows)[8]) {
  __m256 b[8];
  for (int i = 0; i < 8; i += 4) {
    const __m256 low0 = _mm256_unpacklo_ps(rows[i].v, rows[i + 1].v);
    const __m256 high0 = _mm256_unpackhi_ps(rows[i].v, rows[i + 1].v);
    const __m256 low1 = _mm256_unpacklo_ps(rows[i + 2].v, rows[i + 3].v);
    const __m256 high1 = _mm256_unpackhi_ps(rows[i + 2].v, rows[i + 3].v);
    b[i] = _mm256_shuffle_ps(low0, low1, 0x44);
    b[i + 1] = _mm256_shuffle_ps(low0, low1, 0xee);
    b[i + 2] = _mm256_shuffle_ps(high0, high1, 0x44);
    b[i + 3] = _mm256_shuffle_ps(high0, high1, 0xee);
  }
  for (int c = 0; c < 4; ++c) {
    rows[c].v = _mm256_permute2f128_ps(b[c], b[4 + c], 0x20);
    rows[4 + c].v = _mm256_permute2f128_ps(b[c], b[4 + c], 0x31);
  }
}

#elif defined(PADLESS_ISA_NEON)

inline float32x4_t low_halves(float32x4_t a, float32x4_t b) {
  return vcombine_f32(vget_low_f32(a), vget_low_f32(b));
}
inline float32x4_t high_halves(float32x4_t a, float32x4_t b) {
  return vcombine_f32(vget_high_f32(a), vget_high_f32(b));
}

/** rows[i][j] becomes rows[j][i]. */
inline void transpose(Vec (&rows)[4]) {
  const float32x4x2_t upper = vtrnq_f32(rows[0].v, rows[1].v);  // columns 0 and 2, 1 and 3
  const float32x4x2_t lower = vtrnq_f32(rows[2].v, rows[3].v);
  rows[0].v = low_halves(upper.val[0], lower.val[0]);
  rows[1].v = low_halves(upper.val[1], lower.val[1]);
  rows[2].v = high_halves(upper.val[0], lower.val[0]);
  rows[3].v = high_halves(upper.val[1], lower.val[1]);
}

#else

/** rows[i][j] becomes rows[j][i]. */
inline void transpose(Vec (&rows)[4]) {
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < i; ++j) {
      const float above = rows[j].v[i];
      rows[j].v[i] = rows[i].v[j];
      rows[i].v[j] = above;
    }
  }
}

#endif

}  // namespace
}  // namespace padless::simd
