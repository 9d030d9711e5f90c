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

/** Results of a row that is not finite are NaN. */
inline RowCodes codes_between(const RowExtent& extent) {
  const auto [low, high, not_finite] = extent;
  const float range = high - low;
  const float factor = range > 0 ? 255.0f / range : 0.0f;
  const float zero_code = __builtin_nearbyintf(-low * factor);
  return {.factor = factor,
          .zero = zero_code > 0 ? static_cast<int32_t>(zero_code) : 0,  // 0 if NaN
          .scale = range * (1.0f / 255.0f) + not_finite};
}

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
  return codes_between({low, simd::reduce_max(largest[0]), simd::reduce_add(not_finite[0])});
}

/** Codes of kRowVectors vectors of a row from `column` on. */
template <class Code, class Source>
void store_codes_of(Code* p, const SourceRow<Source>& in, int64_t column, simd::Vec factor, int32_t zero) {
  simd::Vec scaled[kRowVectors];
  for (int i = 0; i < kRowVectors; ++i) {
    scaled[i] = load_columns(in.at(column + i * simd::Vec::kLanes)) * factor;
  }
  store_row_codes(p, scaled, zero);
}

#if defined(PADLESS_ISA_AVX512)

constexpr int64_t kPieceHalves = kPieceBytes / 2;

inline uint16_t reduce_max_u16(__m512i a) {
  const __m256i half = _mm256_max_epu16(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
  const __m128i most = _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(most, _mm_set1_epi32(-1)));
  return static_cast<uint16_t>(~_mm_extract_epi16(least, 0));
}

/** Without widening: positive bf16 order like signed integers of their bits, negative ones by magnitude like
 * unsigned ones, and what is not finite is beyond all others. */
inline RowCodes choose_codes(const SourceRow<uint16_t>& in, int64_t columns) {
  __m512i positive = _mm512_setzero_si512();
  __m512i negative = positive;
  for (int64_t column = 0; column < columns; column += kPieceHalves) {
    const int64_t left = columns - column;
    const __mmask32 lanes = left < kPieceHalves ? (__mmask32{1} << left) - 1 : ~__mmask32{0};
    const __m512i x = _mm512_maskz_loadu_epi16(lanes, in.at(column));
    positive = _mm512_max_epi16(positive, x);
    negative = _mm512_max_epu16(negative, x);
  }
  constexpr uint32_t kSign = 0x8000;
  constexpr uint32_t kInfinity = 0x7f80;
  const uint32_t high = reduce_max_u16(positive);
  const uint32_t low = reduce_max_u16(negative);
  const bool finite = high < kInfinity && low < (kSign | kInfinity);
  return codes_between({low < kSign ? 0 : __builtin_bit_cast(float, low << 16),
                        __builtin_bit_cast(float, high << 16), finite ? 0 : __builtin_nanf("")});
}

/** Even and odd elements apart, which takes no widening either. */
inline void store_codes_of(uint8_t* p, const SourceRow<uint16_t>& in, int64_t column, simd::Vec factor,
                           int32_t zero) {
  const __m512i upper_half = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  const auto words_at = [&](int64_t at) {
    const __m512i pairs = _mm512_loadu_si512(in.at(at));
    const simd::Vec even = {_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16))};
    const simd::Vec odd = {_mm512_castsi512_ps(_mm512_and_si512(pairs, upper_half))};
    const __m512i low = _mm512_cvtps_epi32((even * factor).v);
    const __m512i high = _mm512_slli_epi32(_mm512_cvtps_epi32((odd * factor).v), 16);
    return _mm512_add_epi16(_mm512_mask_blend_epi16(0xaaaaaaaa, low, high),
                            _mm512_set1_epi16(static_cast<int16_t>(zero)));
  };
  const __m512i packed = _mm512_packus_epi16(words_at(column), words_at(column + kPieceHalves));
  // Packing goes by quarters of a register.
  const __m512i order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
  _mm512_storeu_si512(p, _mm512_permutexvar_epi64(order, packed));
}

#endif

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
      codes[row - first] =
          task.extents ? codes_between(task.extents[row - task.begin]) : choose_codes(row_at(row), columns);
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
        store_codes_of(out_at(column), in, column, factor, zero);
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
