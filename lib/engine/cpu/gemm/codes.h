// Eight-bit codes of fp32 rows, and integer sums of products of codes back to fp32.
//
// A row of activations has codes round(x / scale) + zero_point in [0, 255], with scale and zero point from
// its least and largest element (0 always among them, so that it is exact). Only multiplications, additions
// and rounding to nearest even: every instruction set yields the same codes, sums and results. Where bytes
// are signed, codes and zero point are both less by 128, which changes no result.
#pragma once

#include "lib/engine/cpu/gemm/kernel.h"
#include "lib/engine/cpu/simd/vec.h"

namespace padless {
namespace {

#if defined(PADLESS_ISA_AVX512)

inline __m512i to_codes(simd::Vec scaled, int32_t zero_point) {
  return _mm512_add_epi32(_mm512_cvtps_epi32(scaled.v), _mm512_set1_epi32(zero_point));
}
inline void store_codes(uint8_t* p, simd::Vec scaled, int32_t zero_point) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtusepi32_epi8(to_codes(scaled, zero_point)));
}
inline void store_codes(uint8_t* p, simd::Vec scaled, int32_t zero_point, int n) {
  _mm512_mask_cvtusepi32_storeu_epi8(p, simd::first_lanes(n), to_codes(scaled, zero_point));
}
inline void store_codes(int16_t* p, simd::Vec scaled, int32_t zero_point) {
  const __m512i codes = _mm512_min_epi32(to_codes(scaled, zero_point), _mm512_set1_epi32(255));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(codes));
}
inline void store_codes(int16_t* p, simd::Vec scaled, int32_t zero_point, int n) {
  const __m512i codes = _mm512_min_epi32(to_codes(scaled, zero_point), _mm512_set1_epi32(255));
  _mm512_mask_cvtepi32_storeu_epi16(p, simd::first_lanes(n), codes);
}

/** float(sums - zero_point * column_sums) of one vector. */
inline simd::Vec corrected_sums(const int32_t* sums, int32_t zero_point, const int32_t* column_sums) {
  const __m512i offset = _mm512_mullo_epi32(_mm512_set1_epi32(zero_point), _mm512_loadu_si512(column_sums));
  return {_mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(sums), offset))};
}

#elif defined(PADLESS_ISA_AVX2)

inline __m128i to_codes(simd::Vec scaled, int32_t zero_point) {
  const __m256i codes = _mm256_add_epi32(_mm256_cvtps_epi32(scaled.v), _mm256_set1_epi32(zero_point));
  const __m256i bounded = _mm256_min_epi32(codes, _mm256_set1_epi32(255));
  return _mm_packs_epi32(_mm256_castsi256_si128(bounded), _mm256_extracti128_si256(bounded, 1));
}
inline void store_codes(uint8_t* p, simd::Vec scaled, int32_t zero_point) {
  const __m128i words = to_codes(scaled, zero_point);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
}
inline void store_codes(int16_t* p, simd::Vec scaled, int32_t zero_point) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), to_codes(scaled, zero_point));
}

inline simd::Vec corrected_sums(const int32_t* sums, int32_t zero_point, const int32_t* column_sums) {
  const __m256i weights = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(column_sums));
  const __m256i offset = _mm256_mullo_epi32(_mm256_set1_epi32(zero_point), weights);
  const __m256i total = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums));
  return {_mm256_cvtepi32_ps(_mm256_sub_epi32(total, offset))};
}

#elif defined(PADLESS_ISA_NEON)

inline int16x4_t to_codes(simd::Vec scaled, int32_t zero_point) {
  const int32x4_t codes = vaddq_s32(vcvtnq_s32_f32(scaled.v), vdupq_n_s32(zero_point));
  return vmovn_s32(vminq_s32(codes, vdupq_n_s32(255)));
}
inline void store_codes(int8_t* p, simd::Vec scaled, int32_t zero_point) {
  const int8x8_t codes = vmovn_s16(vcombine_s16(to_codes(scaled, zero_point), vdup_n_s16(0)));
  const int8x8_t centred = veor_s8(codes, vdup_n_s8(INT8_MIN));
  const int32_t four = vget_lane_s32(vreinterpret_s32_s8(centred), 0);
  __builtin_memcpy(p, &four, sizeof four);
}
inline void store_codes(int16_t* p, simd::Vec scaled, int32_t zero_point) {
  vst1_s16(p, to_codes(scaled, zero_point));
}

inline simd::Vec corrected_sums(const int32_t* sums, int32_t zero_point, const int32_t* column_sums) {
  return {vcvtq_f32_s32(vmlsq_n_s32(vld1q_s32(sums), vld1q_s32(column_sums), zero_point))};
}

#else

template <class Code>
inline void store_codes(Code* p, simd::Vec scaled, int32_t zero_point) {
  const simd::Int4 codes = __builtin_convertvector(simd::round(scaled).v, simd::Int4) + zero_point;
  for (int i = 0; i < simd::Vec::kLanes; ++i) p[i] = static_cast<Code>(codes[i] < 255 ? codes[i] : 255);
}

inline simd::Vec corrected_sums(const int32_t* sums, int32_t zero_point, const int32_t* column_sums) {
  simd::Int4 corrected;
  for (int i = 0; i < simd::Vec::kLanes; ++i) corrected[i] = sums[i] - zero_point * column_sums[i];
  return {__builtin_convertvector(corrected, simd::Float4)};
}

#endif

#if !defined(PADLESS_ISA_AVX512)
template <class Code>
inline void store_codes(Code* p, simd::Vec scaled, int32_t zero_point, int n) {
  Code codes[simd::Vec::kLanes];
  store_codes(codes, scaled, zero_point);
  for (int i = 0; i < n; ++i) p[i] = codes[i];
}
#endif

/** What a stored code is less than the code. */
template <class Code>
constexpr int32_t kCodeOffset = 0;
template <>
inline constexpr int32_t kCodeOffset<int8_t> = 128;

/** What dequantises one vector of columns. */
struct CodeScales {
  CodeScales(const PanelTask& task, int vector)
      : a_scale(task.a_scale),
        a_zero_point(task.a_zero_point),
        scale(simd::load(task.scale + vector * simd::Vec::kLanes)),
        column_sum(task.column_sum + vector * simd::Vec::kLanes) {}
  const float* a_scale;
  const int32_t* a_zero_point;
  simd::Vec scale;
  const int32_t* column_sum;
};

/** The product that integer sums of codes stand for. */
inline simd::Vec dequantise(const CodeScales& scales, int64_t row, const int32_t* row_sums, int vector) {
  const simd::Vec scale = simd::broadcast(scales.a_scale[row]) * scales.scale;
  return corrected_sums(row_sums + vector * simd::Vec::kLanes, scales.a_zero_point[row], scales.column_sum) *
         scale;
}

#if defined(PADLESS_ISA_AVX512)
/**
 * The same bits, and the bias, in fewer operations: a 32-bit product takes two, so a zero point is multiplied
 * with the parts of a column's sum, of 7 bits and what is above them, side by side.
 */
class PairedCodeScales {
 public:
  PairedCodeScales(const PanelTask& task, int vector)
      : scales_(task, vector),
        bias_(task.bias ? simd::load(task.bias + vector * simd::Vec::kLanes) : simd::zero()) {
    const __m512i sums = _mm512_loadu_si512(scales_.column_sum);
    const __m512i low = _mm512_and_si512(sums, _mm512_set1_epi32(127));
    pairs_ = _mm512_or_si512(_mm512_slli_epi32(_mm512_srai_epi32(sums, 7), 16), low);
  }

  /** Whether the upper parts of sums over so many steps have 16 bits. */
  static bool fit(int64_t steps) { return steps * 4 * 127 < int64_t{128} << 15; }

  simd::Vec value(int64_t row, const int32_t* sums) const {
    constexpr int32_t kPair = 128 << 16 | 1;
    const __m512i zero_point = _mm512_set1_epi32(scales_.a_zero_point[row] * kPair);
    const __m512i corrected =
        _mm512_sub_epi32(_mm512_loadu_si512(sums), _mm512_madd_epi16(pairs_, zero_point));
    const simd::Vec scale = simd::broadcast(scales_.a_scale[row]) * scales_.scale;
    return simd::Vec{_mm512_cvtepi32_ps(corrected)} * scale + bias_;
  }

 private:
  CodeScales scales_;
  simd::Vec bias_;
  __m512i pairs_;
};
#endif

}  // namespace
}  // namespace padless
