// fp32 values as sums of three bf16 values, for processors whose products of bf16 are many times faster than
// those of fp32: see Henry, Heinecke, Tang, "Leveraging the bfloat16 artificial intelligence datatype for
// higher-precision computations", 2019.
//
// Three significands of eight bits hold the 24 of fp32. Of the nine products of parts, the three whose sum is
// below 2^-23 of the whole are left out. Tile products take subnormal parts as zero, which loses what is
// below 2^-126. Values that round beyond bf16's largest, 0.2% below fp32's, and infinities become NaN.
//
// A pair of bf16 in 32 bits, as tile products take them, has element i of 32 in its low half and element i +
// 16 in its high half: which elements are paired changes no product, as long as rows and weights agree.
#pragma once

#include <cstdint>

#include "lib/engine/cpu/gemm/kernel.h"
#include "lib/engine/cpu/simd/vec.h"

namespace padless {
namespace {

constexpr int kParts = 3;

#if defined(PADLESS_ISA_AVX512)
/** Rounds to a part, which only the upper halves of the result are, and leaves the rest in `values`. */
inline __m512i take_part(__m512& values) {
  const __m512i rounded = _mm512_add_epi32(_mm512_castps_si512(values), _mm512_set1_epi32(0x8000));
  const __m512i part = _mm512_and_si512(rounded, _mm512_set1_epi32(static_cast<int>(0xffff0000)));
  values = _mm512_sub_ps(values, _mm512_castsi512_ps(part));
  return rounded;
}

/** The upper halves: low's become the lower ones. */
inline __m512i pair_up(__m512i low, __m512i high) {
  constexpr int kSelect = 0xd8;  // mask ? high : shifted, bit by bit
  return _mm512_ternarylogic_epi32(_mm512_srli_epi32(low, 16), high,
                                   _mm512_set1_epi32(static_cast<int>(0xffff0000)), kSelect);
}

/** Stores three vectors of pairs, `part_stride` bytes apart, the largest parts first. */
inline void store_parts(char* p, int64_t part_stride, simd::Vec low, simd::Vec high) {
  for (int part = 0; part < kParts - 1; ++part, p += part_stride) {
    const __m512i low_part = take_part(low.v);
    const __m512i high_part = take_part(high.v);
    _mm512_storeu_si512(p, pair_up(low_part, high_part));
  }
  _mm512_storeu_si512(p, pair_up(_mm512_castps_si512(low.v), _mm512_castps_si512(high.v)));
}
#endif

/** See GemmKernel::convert_rows: a row's parts of 32 elements follow each other, largest first. */
void convert_rows_to_parts(const ConversionTask& task) {
  constexpr int kLanes = simd::Vec::kLanes;
  static_assert(kPartSteps == 2 * kLanes);
  for (int64_t row = task.begin; row < task.end; ++row) {
    const auto* in = reinterpret_cast<const float*>(task.source + task.source_rows.offset(row));
    char* out = task.operand + task.operand_rows.offset(row);
    const auto lanes_from = [&](int64_t column) {
      const int64_t left = task.columns - column;
      return left >= kLanes ? simd::load(in + column)
                            : simd::load(in + column, left > 0 ? static_cast<int>(left) : 0);
    };
    for (int64_t column = 0; column < task.padded_columns; column += kPartSteps) {
      store_parts(out, sizeof(simd::Vec), lanes_from(column), lanes_from(column + kLanes));
      out += kParts * sizeof(simd::Vec);
    }
  }
}

}  // namespace
}  // namespace padless
