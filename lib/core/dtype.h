// Element types, and the conversions between 16-bit floats and float that every host path shares.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace padless {

/** kE4M3: 8-bit floats without infinity (OCP FP8), operands of products on GPUs. */
enum class DType : uint8_t { kF32, kF16, kBF16, kI32, kI64, kU8, kI8, kE4M3 };

/** Bytes of one element. */
constexpr size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
      return 2;
    case DType::kI64:
      return 8;
    case DType::kU8:
    case DType::kI8:
    case DType::kE4M3:
      return 1;
  }
  return 0;
}

/** "f32", "f16", "bf16", "i32", "i64", "u8", "i8", "e4m3". */
const char* dtype_name(DType dtype);

inline float bf16_to_float(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

/** Round to nearest even; NaN stays NaN. */
inline uint16_t float_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/** IEEE binary16 to float, exact, subnormals included. */
float f16_to_float(uint16_t bits);

/** Round to nearest even; overflow gives infinity, NaN stays NaN. */
uint16_t float_to_f16(float value);

}  // namespace padless
