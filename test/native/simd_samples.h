// Elementary functions over arrays, one set an instruction set, for simd_test.cc.
#pragma once

#include <cstdint>

namespace padless::test {

struct SimdSamples {
  using Function = void (*)(const float* x, float* y, int64_t count);
  Function exp, erf, tanh, sigmoid, silu, gelu_erf, gelu_erf_short, gelu_tanh;
  /** y = x through load and store of the first `lanes` lanes at a time, for each lanes in turn. */
  void (*copy)(const float* x, float* y, int64_t count);
  float (*sum)(const float* x);   // of one vector
  float (*most)(const float* x);  // of one vector
  int lanes;
};

}  // namespace padless::test
