// 2^x without the special function unit, which makes 16 exponentials a clock and SM, no more than head dim 64
// needs: a share of them can run on the FMA pipe instead.
#pragma once

#include "cuda/ptx/math.cuh"

namespace padless::cuda::sm90 {

// Exponentials of eight that exp2_polynomial() takes. Whether any should is to be measured; 0 until then.
constexpr int kPolynomialShare = 0;

// 2^x for x <= 0, within 1.1e-4 of itself, half an ulp of fp16; exactly 0 from x = -127 on.
//
// 2^n with n the nearest integer goes to the exponent (Cody and Waite), 2^f with |f| <= 1/2 is a cubic: the
// minimax of the relative error among those with 2^0 = 1, without which -inf would not give 0.
DEVICE float exp2_polynomial(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: a sum's last bits are the nearest integer
  x = fmaxf(x, -127.0f);
  const float rounded = x + kRound, fraction = x - (rounded - kRound);
  float power = fmaf(fraction, 0.055008933f, 0.24221097f);
  power = fmaf(power, fraction, 0.6932829f);
  power = fmaf(power, fraction, 1.0f);
  return __uint_as_float(__float_as_uint(power) + (__float_as_uint(rounded) << 23));
}

// The exponential of score `index`, by the unit that it falls to.
template <int kShare = kPolynomialShare>
DEVICE float exp2_shared(float x, int index) {
  return index % 8 < kShare ? exp2_polynomial(x) : ptx::ex2_approx(x);
}

}  // namespace padless::cuda::sm90
