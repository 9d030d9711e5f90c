// Approximate functions of the special function unit, and packed conversions. The emulator computes them
// exactly rounded from the host's functions: it cannot show their approximation error.
#pragma once

#include "cuda/platform.cuh"

namespace padless::cuda::ptx {

// ex2.approx.ftz.f32: 2^x, 0 for -inf.
DEVICE float ex2_approx(float x) {
#if PADLESS_EMULATED
  return std::exp2(x);
#else
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#endif
}

// lg2.approx.ftz.f32: log2(x), -inf for 0.
DEVICE float lg2_approx(float x) {
#if PADLESS_EMULATED
  return std::log2(x);
#else
  float result;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#endif
}

// rcp.approx.ftz.f32: 1 / x.
DEVICE float rcp_approx(float x) {
#if PADLESS_EMULATED
  return 1.0f / x;
#else
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#endif
}

// rsqrt.approx.ftz.f32: 1 / sqrt(x).
DEVICE float rsqrt_approx(float x) {
#if PADLESS_EMULATED
  return 1.0f / std::sqrt(x);
#else
  float result;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#endif
}

// tanh.approx.f32: maximum relative error 2^-11 on hardware.
DEVICE float tanh_approx(float x) {
#if PADLESS_EMULATED
  return std::tanh(x);
#else
  float result;
  asm("tanh.approx.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#endif
}

// cvt.rn.T.f32 of two values: `low` in bits 0 to 15, `high` in bits 16 to 31; T is bf16 or fp16.
template <class T>
DEVICE uint32_t cvt_rn_x2(float low, float high) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, fp16>);
#if PADLESS_EMULATED
  if constexpr (std::is_same_v<T, bf16>) {
    return uint32_t{emulator::float_to_bf16_bits(low)} | uint32_t{emulator::float_to_bf16_bits(high)} << 16;
  } else {
    return uint32_t{emulator::float_to_fp16_bits(low)} | uint32_t{emulator::float_to_fp16_bits(high)} << 16;
  }
#else
  uint32_t packed;
  if constexpr (std::is_same_v<T, bf16>) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  }
  return packed;
#endif
}

// cvt.rn.satfinite.e4m3x2.f32 (sm_89) of two values: `low` in bits 0 to 7, `high` in bits 8 to 15. Beyond 448
// and infinite becomes 448; NaN stays NaN.
DEVICE uint16_t cvt_rn_satfinite_e4m3x2(float low, float high) {
#if PADLESS_EMULATED
  return static_cast<uint16_t>(emulator::float_to_e4m3_bits(low) | emulator::float_to_e4m3_bits(high) << 8);
#else
  uint16_t packed;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(packed) : "f"(high), "f"(low));
  return packed;
#endif
}

// cvt.rn.f16x2.e4m3x2 (sm_89), exact: the low byte's value in bits 0 to 15, the high byte's in bits 16 to 31.
DEVICE uint32_t cvt_rn_f16x2_e4m3x2(uint16_t codes) {
#if PADLESS_EMULATED
  const auto half = [](int code) {
    return uint32_t{emulator::float_to_fp16_bits(emulator::e4m3_bits_to_float(static_cast<uint8_t>(code)))};
  };
  return half(codes & 255) | half(codes >> 8) << 16;
#else
  uint32_t packed;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(packed) : "h"(codes));
  return packed;
#endif
}

}  // namespace padless::cuda::ptx
