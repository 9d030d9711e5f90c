// Rows of fp32 to rows of bf16, where the processor rounds by itself.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/engine/cpu/simd/vec.h"

namespace padless {
namespace {

#if defined(PADLESS_ISA_AVX512)
/** The first n lanes, rounded to nearest even. */
inline void store_bf16(char* p, simd::Vec values, int n) {
  _mm256_mask_storeu_epi16(p, simd::first_lanes(n), (__m256i)_mm512_cvtneps_pbh(values.v));
}
#else
/** The first n lanes, rounded to nearest even. */
inline void store_bf16(char* p, simd::Vec values, int n) {
  uint16_t lanes[simd::Vec::kLanes];
  vst1_u16(lanes, vreinterpret_u16_bf16(vcvt_bf16_f32(values.v)));
  __builtin_memcpy(p, lanes, static_cast<size_t>(n) * 2);
}
#endif

/** See GemmKernel::convert_rows. */
void convert_rows_to_bf16(const float* source, int64_t source_stride, int64_t rows, int64_t columns,
                          int64_t padded_columns, char* operand, int64_t operand_stride, float*, int32_t*) {
  constexpr int kLanes = simd::Vec::kLanes;
  for (int64_t row = 0; row < rows; ++row) {
    const float* in = source + row * source_stride;
    char* out = operand + row * operand_stride;
    int64_t column = 0;
    for (; column + kLanes <= columns; column += kLanes) {
      store_bf16(out + column * 2, simd::load(in + column), kLanes);
    }
    for (; column < padded_columns; column += kLanes) {
      const int64_t left = columns - column;
      const int64_t room = padded_columns - column;
      store_bf16(out + column * 2, simd::load(in + column, left > 0 ? static_cast<int>(left) : 0),
                 room < kLanes ? static_cast<int>(room) : kLanes);
    }
  }
}

}  // namespace
}  // namespace padless
