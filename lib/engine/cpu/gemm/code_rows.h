// Rows of fp32 or bf16 to rows of codes (codes.h): what a row's codes are follows from its least and largest
// element, so it is read twice, unless whoever wrote it knows them.
#pragma once

#include "lib/engine/cpu/gemm/codes.h"
#include "lib/engine/cpu/gemm/lane_extents.h"

namespace padless {
namespace {

/** Vectors of a row that are read or stored together. */
constexpr int kRowVectors = 4;
constexpr int64_t kRowColumns = int64_t{kRowVectors} * simd::Vec::kLanes;
/** Rows whose least and largest elements are found together, so that none waits for the reductions of one. */
constexpr int kCodedRows = simd::kReduced;

inline simd::Vec load_columns(const float* p) { return simd::load(p); }
inline simd::Vec load_columns(const float* p, int n) { return simd::load(p, n); }
inline simd::Vec load_columns(const uint16_t* p) { return simd::load_bf16(p); }
inline simd::Vec load_columns(const uint16_t* p, int n) { return simd::load_bf16(p, n); }

/** A row of Source: one piece after another if it is fp32, else as its layout says. */
template <class Source>
struct SourceRow {
  const char* first;
  RowLayout layout;

  /** kLanes of them never straddle pieces: both are powers of two. */
  const Source* at(int64_t column) const {
    const int64_t byte = column * static_cast<int64_t>(sizeof(Source));
    return reinterpret_cast<const Source*>(first + (sizeof(Source) == 4 ? byte : layout.piece_offset(byte)));
  }
};

/** How a row becomes codes: round(x * factor) + zero. */
struct RowCodes {
  float factor = 0;
  int32_t zero = 0;
  float scale = 0;
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

/** Fetches the rows that come next, if they are fp32: what other threads wrote, as attention, comes from far.
 */
template <class Source>
void find_extents(const SourceRow<Source> (&rows)[kCodedRows], int64_t columns,
                  RowExtent (&extents)[kCodedRows]) {
  using simd::Vec;
  constexpr int kLanes = Vec::kLanes;
  LaneExtents lanes;
  for (int row = 0; row < kCodedRows; ++row) {
    const SourceRow<Source>& in = rows[row];
    Vec least[kRowVectors], largest[kRowVectors], not_finite[kRowVectors];
    for (int i = 0; i < kRowVectors; ++i) least[i] = largest[i] = not_finite[i] = simd::zero();
    const auto add = [&](Vec x, int i) {
      least[i] = simd::min(x, least[i]);
      largest[i] = simd::max(x, largest[i]);
      not_finite[i] = simd::fma(x, simd::zero(), not_finite[i]);
    };
    int64_t column = 0;
    for (; column + kRowColumns <= columns; column += kRowColumns) {
      for (int i = 0; i < kRowVectors; ++i) {
        const Source* at = in.at(column + i * kLanes);
        if constexpr (sizeof(Source) == 4) {
          __builtin_prefetch(reinterpret_cast<const char*>(at) + kCodedRows * in.layout.stride);
        }
        add(load_columns(at), i);
      }
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
    lanes.negated[row] = simd::zero() - least[0];
    lanes.largest[row] = largest[0];
    lanes.not_finite[row] = not_finite[0];
  }
  lanes.fold(extents, kCodedRows);
}

/** Codes of a row's whole kRowColumns, which they end behind. */
template <class Code, class Source>
int64_t store_whole_codes(const SourceRow<Source>& in, int64_t columns, const RowCodes& codes, char* out,
                          const RowLayout& out_rows) {
  constexpr int kLanes = simd::Vec::kLanes;
  const simd::Vec factor = simd::broadcast(codes.factor);
  int64_t column = 0;
  for (; column + kRowColumns <= columns; column += kRowColumns) {
    for (int i = 0; i < kRowVectors; ++i) {
      const int64_t at = column + i * kLanes;
      auto* to =
          reinterpret_cast<Code*>(out + out_rows.piece_offset(at * static_cast<int64_t>(sizeof(Code))));
      store_codes(to, load_columns(in.at(at)) * factor, codes.zero);
    }
  }
  return column;
}

#if defined(PADLESS_ISA_AVX512)

/** kRowVectors vectors at a time, a piece of codes: narrowing one by one takes twice the instructions. */
template <>
inline int64_t store_whole_codes<uint8_t>(const SourceRow<float>& in, int64_t columns, const RowCodes& codes,
                                          char* out, const RowLayout& out_rows) {
  const simd::Vec factor = simd::broadcast(codes.factor);
  const __m512i zero = _mm512_set1_epi16(static_cast<int16_t>(codes.zero));
  // Packing goes by quarters of a register.
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  const int64_t out_step = out_rows.piece_step();
  int64_t column = 0;
  for (; column + kRowColumns <= columns; column += kRowColumns, out += out_step) {
    const auto code = [&](int i) {
      return _mm512_cvtps_epi32((simd::load(in.at(column + i * simd::Vec::kLanes)) * factor).v);
    };
    const __m512i low = _mm512_add_epi16(_mm512_packs_epi32(code(0), code(1)), zero);
    const __m512i high = _mm512_add_epi16(_mm512_packs_epi32(code(2), code(3)), zero);
    _mm512_storeu_si512(out, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high)));
  }
  return column;
}

constexpr int64_t kPieceHalves = kPieceBytes / 2;
/** Pieces of a row in tiles are 2 KiB apart: the hardware foresees none of them, and L1 keeps half of a long
 * row. */
constexpr int64_t kPiecesAhead = 8;

inline uint16_t reduce_max_u16(__m512i a) {
  const __m256i half = _mm256_max_epu16(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
  const __m128i most = _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(most, _mm_set1_epi32(-1)));
  return static_cast<uint16_t>(~_mm_extract_epi16(least, 0));
}

/** Without widening: positive bf16 order like signed integers of their bits, negative ones by magnitude like
 * unsigned ones, and what is not finite is beyond all others. */
template <>
inline void find_extents(const SourceRow<uint16_t> (&rows)[kCodedRows], int64_t columns,
                         RowExtent (&extents)[kCodedRows]) {
  __m512i positive[kCodedRows], negative[kCodedRows];
  for (int row = 0; row < kCodedRows; ++row) positive[row] = negative[row] = _mm512_setzero_si512();
  const auto add = [&](int row, __m512i x) {
    positive[row] = _mm512_max_epi16(positive[row], x);
    negative[row] = _mm512_max_epu16(negative[row], x);
  };
  const int64_t step = rows[0].layout.piece_step();
  int64_t at = 0;
  for (int64_t left = columns / kPieceHalves; left > 0; --left, at += step) {
    for (int row = 0; row < kCodedRows; ++row) {
      const char* piece = rows[row].first + at;
      __builtin_prefetch(piece + kPiecesAhead * step);
      add(row, _mm512_loadu_si512(piece));
    }
  }
  if (const int64_t left = columns % kPieceHalves; left > 0) {
    const __mmask32 lanes = (__mmask32{1} << left) - 1;
    for (int row = 0; row < kCodedRows; ++row)
      add(row, _mm512_maskz_loadu_epi16(lanes, rows[row].first + at));
  }
  constexpr uint32_t kSign = 0x8000;
  constexpr uint32_t kInfinity = 0x7f80;
  for (int row = 0; row < kCodedRows; ++row) {
    const uint32_t high = reduce_max_u16(positive[row]);
    const uint32_t low = reduce_max_u16(negative[row]);
    const bool finite = high < kInfinity && low < (kSign | kInfinity);
    extents[row] = {low < kSign ? 0 : __builtin_bit_cast(float, low << 16),
                    __builtin_bit_cast(float, high << 16), finite ? 0 : __builtin_nanf("")};
  }
}

/** Even and odd elements apart, which takes no widening either. */
template <>
inline int64_t store_whole_codes<uint8_t>(const SourceRow<uint16_t>& in, int64_t columns,
                                          const RowCodes& codes, char* out, const RowLayout& out_rows) {
  const simd::Vec factor = simd::broadcast(codes.factor);
  const __m512i zero = _mm512_set1_epi16(static_cast<int16_t>(codes.zero));
  const __m512i upper_half = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  // Packing goes by quarters of a register.
  const __m512i order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
  const int64_t step = in.layout.piece_step();
  const int64_t out_step = out_rows.piece_step();
  const auto words_at = [&](const char* piece) {
    __builtin_prefetch(piece + kPiecesAhead * step);
    const __m512i pairs = _mm512_loadu_si512(piece);
    const simd::Vec even = {_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16))};
    const simd::Vec odd = {_mm512_castsi512_ps(_mm512_and_si512(pairs, upper_half))};
    const __m512i low = _mm512_cvtps_epi32((even * factor).v);
    const __m512i high = _mm512_slli_epi32(_mm512_cvtps_epi32((odd * factor).v), 16);
    return _mm512_add_epi16(_mm512_mask_blend_epi16(0xaaaaaaaa, low, high), zero);
  };
  const char* piece = in.first;
  int64_t column = 0;
  for (; column + kRowColumns <= columns; column += kRowColumns, piece += 2 * step, out += out_step) {
    const __m512i packed = _mm512_packus_epi16(words_at(piece), words_at(piece + step));
    _mm512_storeu_si512(out, _mm512_permutexvar_epi64(order, packed));
  }
  return column;
}

#endif

/** See GemmKernel::convert_rows and convert_bf16_rows. */
template <class Code, class Source = float>
void convert_rows_to_codes(const ConversionTask& task) {
  constexpr int kLanes = simd::Vec::kLanes;
  const int64_t columns = task.columns;
  for (int64_t first = task.begin; first < task.end; first += kCodedRows) {
    const int64_t last = (first + kCodedRows < task.end ? first + kCodedRows : task.end) - 1;
    SourceRow<Source> rows[kCodedRows];
    for (int i = 0; i < kCodedRows; ++i) {
      const int64_t row = first + i < last ? first + i : last;
      rows[i] = {task.source + task.source_rows.offset(row), task.source_rows};
    }
    RowExtent found[kCodedRows];
    if (!task.extents) find_extents(rows, columns, found);
    const RowExtent* extents = task.extents ? task.extents + (first - task.begin) : found;
    RowCodes codes[kCodedRows];
    for (int64_t row = first; row <= last; ++row) {
      RowCodes& chosen = codes[row - first];
      chosen = codes_between(extents[row - first]);
      task.scale[row] = chosen.scale;
      task.zero_point[row] = chosen.zero - kCodeOffset<Code>;
    }
    for (int64_t row = first; row <= last; ++row) {
      const RowCodes& chosen = codes[row - first];
      const SourceRow<Source>& in = rows[row - first];
      char* out = task.operand + task.operand_rows.offset(row);
      const auto out_at = [&](int64_t column) {
        return reinterpret_cast<Code*>(
            out + task.operand_rows.piece_offset(column * static_cast<int64_t>(sizeof(Code))));
      };
      int64_t column = store_whole_codes<Code>(in, columns, chosen, out, task.operand_rows);
      for (; column < columns; column += kLanes) {
        const int n = columns - column < kLanes ? static_cast<int>(columns - column) : kLanes;
        const simd::Vec scaled = load_columns(in.at(column), n) * simd::broadcast(chosen.factor);
        store_codes(out_at(column), scaled, chosen.zero, n);
      }
      for (column = columns; column < task.padded_columns; ++column) *out_at(column) = 0;
    }
  }
}

}  // namespace
}  // namespace padless
