// e4m3 by the format's definition (OCP 8-bit Floating Point Specification, revision 1.0), in double: slow,
// and independent of what kernels and the emulator do.
#pragma once

#include <cmath>

namespace padless::cuda::test {

inline double e4m3_value(int code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  if (exponent == 15 && mantissa == 7) return NAN;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 7 - 3);
  return code & 128 ? -magnitude : magnitude;
}

// The nearest code, of two the one with an even mantissa; the largest for what lies beyond. Not for NaN.
inline int e4m3_code(double value) {
  const double magnitude = std::fabs(value);
  int best = 0;
  for (int code = 1; code < 127; code++) {
    const double gain = std::fabs(magnitude - e4m3_value(best)) - std::fabs(magnitude - e4m3_value(code));
    if (std::isinf(magnitude) || gain > 0 || (gain == 0 && code % 2 == 0)) best = code;
  }
  return std::signbit(value) ? best | 128 : best;
}

}  // namespace padless::cuda::test
