// Elementary functions on Vec. Relative error below 1e-6 (a few ulp) unless a function says otherwise; the
// polynomials and rational functions are least-maximum fits made for these ranges. test/native/simd_test.cc
// measures them against double precision.
#pragma once

#include "lib/engine/cpu/simd/vec.h"

namespace padless::simd {
namespace {

/** e^x; 0 below -87.33 (no subnormals), infinity above 88.72. */
inline Vec exp(Vec x) {
  const Vec lowest = broadcast(-87.336544f);  // -126 ln 2
  const Vec highest = broadcast(88.722839f);  // 128 ln 2, rounded down
  const Vec bounded = min(highest, max(lowest, x));
  // x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 split in two so that n * the first part is exact.
  const Vec n = round(bounded * broadcast(1.44269504f));
  const Vec r = fnma(n, broadcast(-2.12194440e-4f), fnma(n, broadcast(0.693359375f), bounded));
  Vec p = broadcast(1.38368408e-3f);
  p = fma(p, r, broadcast(8.37481603e-3f));
  p = fma(p, r, broadcast(4.16682257e-2f));
  p = fma(p, r, broadcast(0.166664202f));
  p = fma(p, r, broadcast(0.49999992f));
  p = fma(p, r, broadcast(1.0f));
  p = fma(p, r, broadcast(1.0f));
  Vec result = scale_by_power_of_two(p, n);
  result = where_less(x, lowest, zero(), result);
  return where_less(highest, x, broadcast(__builtin_inff()), result);
}

/** Probability that a standard normal variable lies between 0 and x: erf(x / sqrt(2)) / 2; absolute error
 * 1e-7. */
inline Vec normal_integral(Vec x) {
  // x P(x^2) / Q(x^2), fitted on |x| <= 5.5, where it reaches a half; it keeps growing beyond, to be cut off.
  const Vec bounded = min(broadcast(6.0f), max(broadcast(-6.0f), x));
  const Vec t = bounded * bounded;
  Vec p = broadcast(2.27688447e-8f);
  p = fma(p, t, broadcast(6.34673415e-6f));
  p = fma(p, t, broadcast(1.68373609e-4f));
  p = fma(p, t, broadcast(4.67453003e-3f));
  p = fma(p, t, broadcast(3.38107415e-2f));
  p = fma(p, t, broadcast(0.398942241f));
  Vec q = broadcast(1.19766857e-6f);
  q = fma(q, t, broadcast(7.34898697e-5f));
  q = fma(q, t, broadcast(1.88192063e-3f));
  q = fma(q, t, broadcast(2.86214469e-2f));
  q = fma(q, t, broadcast(0.251416941f));
  q = fma(q, t, broadcast(1.0f));
  return min(broadcast(0.5f), max(broadcast(-0.5f), quotient(bounded * p, q)));
}

/** Relative error below 1e-6 near 0 too. */
inline Vec erf(Vec x) {
  const Vec half = normal_integral(x * broadcast(1.41421356f));
  return half + half;
}

inline Vec tanh(Vec x) {
  // x P(x^2) / Q(x^2), fitted on |x| <= 9, where tanh is 1 in fp32.
  const Vec bounded = min(broadcast(9.0f), max(broadcast(-9.0f), x));
  const Vec t = bounded * bounded;
  Vec p = broadcast(1.33543495e-8f);
  p = fma(p, t, broadcast(2.06088377e-5f));
  p = fma(p, t, broadcast(3.49557237e-3f));
  p = fma(p, t, broadcast(0.133810121f));
  p = fma(p, t, broadcast(0.999999979f));
  Vec q = broadcast(7.77642491e-7f);
  q = fma(q, t, broadcast(3.28560969e-4f));
  q = fma(q, t, broadcast(2.58769213e-2f));
  q = fma(q, t, broadcast(0.467143276f));
  q = fma(q, t, broadcast(1.0f));
  return min(broadcast(1.0f), max(broadcast(-1.0f), quotient(bounded * p, q)));
}

/** 1 / (1 + e^-x); 0 below -88.7. */
inline Vec sigmoid(Vec x) { return broadcast(1.0f) / (broadcast(1.0f) + exp(zero() - x)); }

inline Vec silu(Vec x) { return x / (broadcast(1.0f) + exp(zero() - x)); }

inline Vec relu(Vec x) { return max(zero(), x); }

/** x Phi(x), the definition of GELU. Absolute error below 1e-7 max(1, |x|), as good as fp32 erf gives. */
inline Vec gelu_erf(Vec x) { return x * (broadcast(0.5f) + normal_integral(x)); }

/** x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3); the same as x sigmoid(2 u). */
inline Vec gelu_tanh(Vec x) {
  const Vec cubic = fma(broadcast(0.0713548163f) * x, x * x, broadcast(1.59576912f) * x);
  return x / (broadcast(1.0f) + exp(zero() - cubic));
}

}  // namespace
}  // namespace padless::simd
