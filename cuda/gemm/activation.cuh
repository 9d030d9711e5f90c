// Activations of a product in f32.
//
// Where the result is stored in 16 bits, they are computed by one exp2 and few multiplications: the epilogue
// costs as much as a main loop of a few hundred k otherwise. Their relative error stays below 2e-5 wherever
// the result is above 1e-10, a hundredth of a bf16 step; 1 + erf(x) in f32 loses all bits near x = -5.5.
#pragma once

#include "cuda/platform.cuh"
#include "cuda/ptx/math.cuh"
#include "lib/engine/row_program.h"

namespace padless::cuda {

// x * Phi(x) = max(x, 0) - |x| * Q(|x|), where log2 Q is close to a parabola: this polynomial is a minimax
// fit on [0, 10], and 2 to the power of it is 0 from 14 on.
DEVICE float gelu_erf_16bit(float x) {
  constexpr float kEnd = 14.0f;
  const float z = fabsf(x) < kEnd ? fabsf(x) : kEnd;
  float log2_q = 6.74734105e-8f;
  log2_q = fmaf(log2_q, z, -3.43604893e-6f);
  log2_q = fmaf(log2_q, z, 7.67983222e-5f);
  log2_q = fmaf(log2_q, z, -1.00433649e-3f);
  log2_q = fmaf(log2_q, z, 8.70257600e-3f);
  log2_q = fmaf(log2_q, z, -5.42330230e-2f);
  log2_q = fmaf(log2_q, z, -4.58280722e-1f);
  log2_q = fmaf(log2_q, z, -1.15129695f);
  log2_q = fmaf(log2_q, z, -9.99993469e-1f);
  const float positive = x < 0.0f ? 0.0f : x;  // keeps NaN
  return fmaf(-z, ptx::ex2_approx(log2_q), positive);
}

// 1 / (1 + exp(-x))
DEVICE float sigmoid_16bit(float x) {
  constexpr float kLog2E = 1.44269504f;
  return ptx::rcp_approx(1.0f + ptx::ex2_approx(-kLog2E * x));
}

template <class T>
DEVICE float activate(Activation activation, float x) {
  constexpr float kInverseSqrt2 = 0.70710678118654752f, kSqrt2OverPi = 0.79788456080286536f;
  constexpr bool kExact = sizeof(T) == 4;
  switch (activation) {
    case Activation::kGeluErf:
      if constexpr (kExact) return 0.5f * x * (1.0f + erff(x * kInverseSqrt2));
      return gelu_erf_16bit(x);
    case Activation::kGeluTanh: {
      const float inner = kSqrt2OverPi * (x + 0.044715f * x * x * x);
      if constexpr (kExact) return 0.5f * x * (1.0f + tanhf(inner));
      return x * sigmoid_16bit(2.0f * inner);
    }
    case Activation::kRelu:
      return x < 0.0f ? 0.0f : x;  // keeps NaN
    case Activation::kSilu:
      if constexpr (kExact) return x / (1.0f + expf(-x));
      return x * sigmoid_16bit(x);
    case Activation::kTanh:
      return tanhf(x);
    case Activation::kSigmoid:
      if constexpr (kExact) return 1.0f / (1.0f + expf(-x));
      return sigmoid_16bit(x);
    case Activation::kNone:
      break;
  }
  return x;
}

}  // namespace padless::cuda
