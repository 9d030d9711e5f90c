// Host stand-ins for __nv_bfloat16, __half and __nv_fp8_e4m3: storage and the conversions that kernels use,
// rounded as the GPU rounds.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "cuda/emulator/vector_types.h"

namespace padless::cuda::emulator {

inline float bf16_bits_to_float(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// Round to nearest even; every NaN becomes 0x7fff, as cvt.rn.bf16.f32 does.
inline uint16_t float_to_bf16_bits(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline float fp16_bits_to_float(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16, exponent = (bits >> 10) & 31u,
                 mantissa = bits & 1023u;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t magnitude =
      exponent == 31 ? 0x7f800000u | (mantissa << 13) : ((exponent + 112) << 23) | (mantissa << 13);
  return std::bit_cast<float>(sign | magnitude);
}

// Round to nearest even; overflow becomes infinity, every NaN 0x7fff, as cvt.rn.f16.f32 does.
inline uint16_t float_to_fp16_bits(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  constexpr uint32_t kRoundsToInfinity = 0x477ff000u, kSmallestNormal = 0x38800000u;
  if (magnitude > 0x7f800000u) return 0x7fff;
  if (magnitude >= kRoundsToInfinity) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < kSmallestNormal) {
    const float steps = std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24f);
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(steps));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

// e4m3: no infinity; all bits of exponent and mantissa set are NaN.
inline float e4m3_bits_to_float(uint8_t bits) {
  const uint32_t sign = uint32_t{bits & 0x80u} << 24, exponent = (bits >> 3) & 15u, mantissa = bits & 7u;
  if ((bits & 0x7f) == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000u);
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-9f;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 120) << 23) | (mantissa << 20));
}

// Round to nearest even; what lies beyond +-448 becomes +-448, NaN 0x7f, as cvt.rn.satfinite.e4m3x2.f32 does.
inline uint8_t float_to_e4m3_bits(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 24) & 0x80u, magnitude = bits & 0x7fffffffu;
  constexpr uint32_t kLargest = 0x43e00000u, kSmallestNormal = 0x3c800000u;  // 448, 2^-6
  if (magnitude > 0x7f800000u) return 0x7f;
  if (magnitude >= kLargest) return static_cast<uint8_t>(sign | 0x7eu);
  if (magnitude < kSmallestNormal) {
    const float steps = std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p9f);
    return static_cast<uint8_t>(sign | static_cast<uint32_t>(steps));
  }
  const uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
  return static_cast<uint8_t>(sign | ((rounded - 0x3c000000u) >> 20));
}

}  // namespace padless::cuda::emulator

struct __nv_bfloat16 {
  uint16_t bits;
  __nv_bfloat16() = default;
  explicit __nv_bfloat16(float value) : bits(padless::cuda::emulator::float_to_bf16_bits(value)) {}
  explicit operator float() const { return padless::cuda::emulator::bf16_bits_to_float(bits); }
};
struct __half {
  uint16_t bits;
  __half() = default;
  explicit __half(float value) : bits(padless::cuda::emulator::float_to_fp16_bits(value)) {}
  explicit operator float() const { return padless::cuda::emulator::fp16_bits_to_float(bits); }
};
struct __nv_fp8_e4m3 {
  uint8_t bits;
  __nv_fp8_e4m3() = default;
  explicit __nv_fp8_e4m3(float value) : bits(padless::cuda::emulator::float_to_e4m3_bits(value)) {}
  explicit operator float() const { return padless::cuda::emulator::e4m3_bits_to_float(bits); }
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
struct alignas(4) __half2 {
  __half x, y;
};

inline float __bfloat162float(__nv_bfloat16 value) { return static_cast<float>(value); }
inline float __half2float(__half value) { return static_cast<float>(value); }
inline __nv_bfloat16 __float2bfloat16(float value) { return __nv_bfloat16(value); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return __nv_bfloat16(value); }
inline __half __float2half(float value) { return __half(value); }
inline __half __float2half_rn(float value) { return __half(value); }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {__nv_bfloat16(x), __nv_bfloat16(y)}; }
inline __nv_bfloat162 __float22bfloat162_rn(float2 v) { return __floats2bfloat162_rn(v.x, v.y); }
inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
inline __half2 __float22half2_rn(float2 v) { return __floats2half2_rn(v.x, v.y); }
inline float2 __bfloat1622float2(__nv_bfloat162 v) {
  return {static_cast<float>(v.x), static_cast<float>(v.y)};
}
inline float2 __half22float2(__half2 v) { return {static_cast<float>(v.x), static_cast<float>(v.y)}; }
