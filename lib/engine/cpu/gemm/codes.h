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

/** Registers that a loop over a row keeps busy. */
constexpr int kRowVectors = 4;

inline simd::Vec load_columns(const float* p) { return simd::load(p); }
inline simd::Vec load_columns(const float* p, int n) { return simd::load(p, n); }
inline simd::Vec load_columns(const uint16_t* p) { return simd::load_bf16(p); }
inline simd::Vec load_columns(const uint16_t* p, int n) { return simd::load_bf16(p, n); }

#if defined(PADLESS_ISA_AVX512)
/** kRowVectors vectors at a time: narrowing one by one takes twice the instructions. */
inline void store_row_codes(uint8_t* p, const simd::Vec (&scaled)[kRowVectors], int32_t zero_point) {
  __m512i codes[kRowVectors];
  for (int i = 0; i < kRowVectors; ++i) codes[i] = _mm512_cvtps_epi32(scaled[i].v);
  const __m512i zero = _mm512_set1_epi16(static_cast<int16_t>(zero_point));
  const __m512i low = _mm512_add_epi16(_mm512_packs_epi32(codes[0], codes[1]), zero);
  const __m512i high = _mm512_add_epi16(_mm512_packs_epi32(codes[2], codes[3]), zero);
  // Packing goes by quarters of a register.
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  _mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high)));
}
#endif

template <class Code>
inline void store_row_codes(Code* p, const simd::Vec (&scaled)[kRowVectors], int32_t zero_point) {
  for (int i = 0; i < kRowVectors; ++i) store_codes(p + i * simd::Vec::kLanes, scaled[i], zero_point);
}

/** A row of Source, piece by piece. */
template <class Source>
struct SourceRow {
  const char* first;
  RowLayout layout;

  /** kLanes of them never straddle pieces: both are powers of two. */
  const Source* at(int64_t column) const {
    return reinterpret_cast<const Source*>(
        first + layout.piece_offset(column * static_cast<int64_t>(sizeof(Source))));
  }
};

/** How a row becomes codes: round(x * factor) + zero. */
struct RowCodes {
  float factor;
  int32_t zero;
  float scale;
};

/** NaN as the scale of a row with a NaN or an infinity, and so NaN results. */
template <class Source>
RowCodes choose_codes(const SourceRow<Source>& in, int64_t columns) {
  using simd::Vec;
  constexpr int kLanes = Vec::kLanes;
  Vec least[kRowVectors], largest[kRowVectors], not_finite[kRowVectors];
  for (int i = 0; i < kRowVectors; ++i) least[i] = largest[i] = not_finite[i] = simd::zero();
  const auto add = [&](Vec x, int i) {
    least[i] = simd::min(x, least[i]);
    largest[i] = simd::max(x, largest[i]);
    not_finite[i] = simd::fma(x, simd::zero(), not_finite[i]);
  };
  int64_t column = 0;
  for (; column + kRowVectors * kLanes <= columns; column += kRowVectors * kLanes) {
    for (int i = 0; i < kRowVectors; ++i) add(load_columns(in.at(column + i * kLanes)), i);
  }
  for (int i = 0; column < columns; column += kLanes, ++i) {
    const int64_t left = columns - column;
    add(left >= kLanes ? load_columns(in.at(column)) : load_columns(in.at(column), static_cast<int>(left)),
        i);
  }
  for (int i = 1; i < kRowVectors; ++i) {
    least[0] = simd::min(least[0], least[i]);
    largest[0] = simd::max(largest[0], largest[i]);
    not_finite[0] = not_finite[0] + not_finite[i];
  }
  const float low = -simd::reduce_max(simd::zero() - least[0]);
  const float range = simd::reduce_max(largest[0]) - low;
  const float factor = range > 0 ? 255.0f / range : 0.0f;
  const float zero_code = __builtin_nearbyintf(-low * factor);
  return {.factor = factor,
          .zero = zero_code > 0 ? static_cast<int32_t>(zero_code) : 0,  // 0 if NaN
          .scale = range * (1.0f / 255.0f) + simd::reduce_add(not_finite[0])};
}

/** See GemmKernel::convert_rows and convert_bf16_rows. */
template <class Code, class Source = float>
void convert_rows_to_codes(const ConversionTask& task) {
  constexpr int kLanes = simd::Vec::kLanes;
  constexpr int64_t kSteps = kRowVectors * kLanes;
  // Rows whose least and largest elements are found together, so that none waits for the reductions of one.
  constexpr int64_t kRows = 4;
  const int64_t columns = task.columns;
  const auto row_at = [&](int64_t row) {
    return SourceRow<Source>{task.source + task.source_rows.offset(row), task.source_rows};
  };
  for (int64_t first = task.begin; first < task.end; first += kRows) {
    const int64_t end = first + kRows < task.end ? first + kRows : task.end;
    RowCodes codes[kRows];
    for (int64_t row = first; row < end; ++row) {
      codes[row - first] = choose_codes(row_at(row), columns);
      task.scale[row] = codes[row - first].scale;
      task.zero_point[row] = codes[row - first].zero - kCodeOffset<Code>;
    }
    for (int64_t row = first; row < end; ++row) {
      const auto [row_factor, zero, row_scale] = codes[row - first];
      const simd::Vec factor = simd::broadcast(row_factor);
      const SourceRow<Source> in = row_at(row);
      char* out = task.operand + task.operand_rows.offset(row);
      const auto out_at = [&](int64_t column) {
        return reinterpret_cast<Code*>(
            out + task.operand_rows.piece_offset(column * static_cast<int64_t>(sizeof(Code))));
      };
      int64_t column = 0;
      for (; column + kSteps <= columns; column += kSteps) {
        simd::Vec scaled[kRowVectors];
        for (int i = 0; i < kRowVectors; ++i) scaled[i] = load_columns(in.at(column + i * kLanes)) * factor;
        store_row_codes(out_at(column), scaled, zero);
      }
      for (; column < columns; column += kLanes) {
        const int n = columns - column < kLanes ? static_cast<int>(columns - column) : kLanes;
        store_codes(out_at(column), load_columns(in.at(column), n) * factor, zero, n);
      }
      for (column = columns; column < task.padded_columns; ++column) *out_at(column) = 0;
    }
  }
}

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

}  // namespace
}  // namespace padless
