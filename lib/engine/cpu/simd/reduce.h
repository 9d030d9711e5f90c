// reduce_add and reduce_max of several vectors side by side, so that none waits for another's shuffles. The
// results are those of one vector alone, bit for bit.
#pragma once

#include "lib/engine/cpu/simd/vec.h"

namespace padless::simd {
namespace {

/** Vectors that are reduced together. */
constexpr int kReduced = 4;

#if defined(PADLESS_ISA_AVX512)

/** Folds halves, quarters and so on, as the reduction of one vector does. */
template <class Op>
inline void reduce_each(const Vec (&values)[kReduced], float (&results)[kReduced], const Op& op) {
  const auto halves = [&](Vec a, Vec b) {
    return op(Vec{_mm512_shuffle_f32x4(a.v, b.v, 0x44)}, Vec{_mm512_shuffle_f32x4(a.v, b.v, 0xee)});
  };
  const Vec first = halves(values[0], values[1]);
  const Vec second = halves(values[2], values[3]);
  Vec lanes = op(Vec{_mm512_shuffle_f32x4(first.v, second.v, 0x88)},
                 Vec{_mm512_shuffle_f32x4(first.v, second.v, 0xdd)});
  lanes = op(lanes, Vec{_mm512_permute_ps(lanes.v, 0x4e)});
  lanes = op(lanes, Vec{_mm512_permute_ps(lanes.v, 0xb1)});
  const __m512i every_fourth = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0);
  _mm_storeu_ps(results, _mm512_castps512_ps128(_mm512_permutexvar_ps(every_fourth, lanes.v)));
}

inline void reduce_add(const Vec (&values)[kReduced], float (&results)[kReduced]) {
  reduce_each(values, results, [](Vec a, Vec b) { return a + b; });
}
inline void reduce_max(const Vec (&values)[kReduced], float (&results)[kReduced]) {
  reduce_each(values, results, [](Vec a, Vec b) { return max(a, b); });
}

#else

inline void reduce_add(const Vec (&values)[kReduced], float (&results)[kReduced]) {
  for (int i = 0; i < kReduced; ++i) results[i] = reduce_add(values[i]);
}
inline void reduce_max(const Vec (&values)[kReduced], float (&results)[kReduced]) {
  for (int i = 0; i < kReduced; ++i) results[i] = reduce_max(values[i]);
}

#endif

}  // namespace
}  // namespace padless::simd
