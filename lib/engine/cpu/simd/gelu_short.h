// GELU for results that are rounded to bf16 or 8-bit codes, or that come from such: absolute error below
// 8e-5 |x|.
#pragma once

#include "lib/engine/cpu/simd/vec.h"

namespace padless::simd {
namespace {

#if defined(PADLESS_ISA_AVX512)

// max(x, 0) - |x| Q(|x|), where Q, the tail of the normal distribution, is 16 quadratics: least-maximum fits
// on stretches of kWidth around its multiples, and nothing from 3.9 on. Tables are read by permutations,
// which have a port that takes no floating point of 512 bits while tiles multiply.
alignas(64) constexpr float kTail[3][16] = {
    {0.50000501f, 0.50097525f, 0.50744212f, 0.51748282f, 0.52047002f, 0.50289875f, 0.45681012f, 0.38467973f,
     0.29806587f, 0.21179959f, 0.13788404f, 0.08225967f, 0.045009416f, 0.022611156f, 0.010440635f, 0.0f},
    {-0.39961478f, -0.41164708f, -0.44403204f, -0.47460786f, -0.48170644f, -0.45323536f, -0.39121178f,
     -0.30872795f, -0.2227203f, -0.14705284f, -0.089003421f, -0.049461085f, -0.025275327f, -0.011892862f,
     -0.0051586805f, 0.0f},
    {0.013363563f, 0.051460482f, 0.092375033f, 0.1157174f, 0.11989465f, 0.10835464f, 0.087474063f,
     0.063881755f, 0.042522546f, 0.025925174f, 0.014525407f, 0.0074966815f, 0.003570297f, 0.0015711277f,
     0.000639498f, 0.0f}};

inline Vec gelu_erf_short(Vec x) {
  constexpr float kWidth = 3.9f / 14.5f;
  constexpr float kBeyond = 3.95f;
  constexpr int kLeastMagnitude = 0b1010;
  const Vec y = {_mm512_range_ps(x.v, _mm512_set1_ps(kBeyond), kLeastMagnitude)};
  // Adding 1.5 * 2^23 leaves the nearest integer in the lowest bits, of which a permutation takes four.
  const __m512i stretch = _mm512_castps_si512(fma(y, broadcast(1 / kWidth), broadcast(12582912.0f)).v);
  const auto coefficient = [&](int power) {
    return Vec{_mm512_permutexvar_ps(stretch, _mm512_load_ps(kTail[power]))};
  };
  const Vec tail = fma(fma(coefficient(2), y, coefficient(1)), y, coefficient(0));
  return fnma(y, tail, max(zero(), x));
}

#else

inline Vec gelu_erf_short(Vec x) {
  // x / 2 + x^2 P(x^2), fitted on |x| <= 3.8, and beyond it 0 or x.
  const Vec t = x * x;
  Vec p = broadcast(3.66577773e-08f);
  p = fma(p, t, broadcast(-2.27246187e-06f));
  p = fma(p, t, broadcast(6.06848007e-05f));
  p = fma(p, t, broadcast(-0.000931547605f));
  p = fma(p, t, broadcast(0.00931663532f));
  p = fma(p, t, broadcast(-0.0657197908f));
  p = fma(p, t, broadcast(0.398676753f));
  return where_less(t, broadcast(14.44f), fma(t, p, x * broadcast(0.5f)), max(zero(), x));
}

#endif

}  // namespace
}  // namespace padless::simd
