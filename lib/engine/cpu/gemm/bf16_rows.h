// Rows of fp32 to rows of bf16, where the processor rounds by itself.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/engine/cpu/gemm/kernel.h"
#include "lib/engine/cpu/simd/vec.h"

namespace padless {
namespace {

#if defined(PADLESS_ISA_AVX512)
/** The first n lanes, rounded to nearest even. */
inline void store_bf16(char* p, simd::Vec values, int n) {
  _mm256_mask_storeu_epi16(p, simd::first_lanes(n), (__m256i)_mm512_cvtneps_pbh(values.v));
}
/** Two vectors, rounded to nearest even. */
inline void store_bf16_line(char* p, simd::Vec low, simd::Vec high) {
  _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(high.v, low.v));
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
void convert_rows_to_bf16(const ConversionTask& task) {
  constexpr int kLanes = simd::Vec::kLanes;
  for (int64_t row = task.begin; row < task.end; ++row) {
    const auto* in = reinterpret_cast<const float*>(task.source + task.source_rows.offset(row));
    char* out = task.operand + task.operand_rows.offset(row);
    const auto at = [&](int64_t column) { return out + task.operand_rows.piece_offset(column * 2); };
    int64_t column = 0;
    for (; column + kLanes <= task.columns; column += kLanes) {
      store_bf16(at(column), simd::load(in + column), kLanes);
    }
    for (; column < task.padded_columns; column += kLanes) {
      const int64_t left = task.columns - column;
      const int64_t room = task.padded_columns - column;
      store_bf16(at(column), simd::load(in + column, left > 0 ? static_cast<int>(left) : 0),
                 room < kLanes ? static_cast<int>(room) : kLanes);
    }
  }
}

}  // namespace
}  // namespace padless
