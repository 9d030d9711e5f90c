// int8 products where there is no byte dot product that keeps every bit: weights widened to 16 bits on the
// way into registers, against codes stored as 16 bits. A pair of products fits 32 bits, so the sums are those
// of VNNI.
#include <cstring>

#include "lib/engine/cpu/gemm/code_rows.h"
#include "lib/engine/cpu/gemm/panel.h"

namespace padless::PADLESS_ISA {
namespace {

#if defined(PADLESS_ISA_AVX512)
using Sums = __m512i;
using Weights = __m512i;
using Input = __m512i;
inline Sums zero_sums() { return _mm512_setzero_si512(); }
inline Sums load_sums(const int32_t* p) { return _mm512_loadu_si512(p); }
inline void store_sums(int32_t* p, Sums sums) { _mm512_storeu_si512(p, sums); }
inline Weights widen(const char* p) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Input repeat(const char* p) { return _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(p)); }
inline Sums add_products(Sums sums, Input input, Weights weights) {
  return _mm512_add_epi32(sums, _mm512_madd_epi16(input, weights));
}
constexpr int kTileRows = 8;
constexpr int kVectors = 3;
#elif defined(PADLESS_ISA_AVX2)
using Sums = __m256i;
using Weights = __m256i;
using Input = __m256i;
inline Sums zero_sums() { return _mm256_setzero_si256(); }
inline Sums load_sums(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline void store_sums(int32_t* p, Sums sums) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), sums); }
inline Weights widen(const char* p) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline Input repeat(const char* p) { return _mm256_set1_epi32(*reinterpret_cast<const int32_t*>(p)); }
inline Sums add_products(Sums sums, Input input, Weights weights) {
  return _mm256_add_epi32(sums, _mm256_madd_epi16(input, weights));
}
constexpr int kTileRows = 6;
constexpr int kVectors = 2;
#elif defined(PADLESS_ISA_NEON)
struct Pair {
  int16x4_t first, second;  // of the two k of a step
};
using Sums = int32x4_t;
using Weights = Pair;
using Input = Pair;
inline Sums zero_sums() { return vdupq_n_s32(0); }
inline Sums load_sums(const int32_t* p) { return vld1q_s32(p); }
inline void store_sums(int32_t* p, Sums sums) { vst1q_s32(p, sums); }
inline Weights widen(const char* p) {
  const int16x8_t pairs = vmovl_s8(vld1_s8(reinterpret_cast<const int8_t*>(p)));
  const int16x4_t low = vget_low_s16(pairs);
  const int16x4_t high = vget_high_s16(pairs);
  return {vuzp1_s16(low, high), vuzp2_s16(low, high)};
}
inline Input repeat(const char* p) {
  const int16_t* codes = reinterpret_cast<const int16_t*>(p);
  return {vdup_n_s16(codes[0]), vdup_n_s16(codes[1])};
}
inline Sums add_products(Sums sums, Input input, Weights weights) {
  return vmlal_s16(vmlal_s16(sums, weights.first, input.first), weights.second, input.second);
}
constexpr int kTileRows = 8;
constexpr int kVectors = 2;
#else
struct Pair {
  simd::Int4 first, second;  // of the two k of a step
};
using Sums = simd::Int4;
using Weights = Pair;
using Input = Pair;
inline Sums zero_sums() { return Sums{}; }
inline Sums load_sums(const int32_t* p) {
  Sums sums;
  std::memcpy(&sums, p, sizeof sums);
  return sums;
}
inline void store_sums(int32_t* p, Sums sums) { std::memcpy(p, &sums, sizeof sums); }
inline Weights widen(const char* p) {
  const int8_t* w = reinterpret_cast<const int8_t*>(p);
  return {simd::Int4{w[0], w[2], w[4], w[6]}, simd::Int4{w[1], w[3], w[5], w[7]}};
}
inline Input repeat(const char* p) {
  const int16_t* codes = reinterpret_cast<const int16_t*>(p);
  return {Sums{} + codes[0], Sums{} + codes[1]};
}
inline Sums add_products(Sums sums, Input input, Weights weights) {
  return sums + input.first * weights.first + input.second * weights.second;
}
constexpr int kTileRows = 4;
constexpr int kVectors = 2;
#endif

struct WidenDot {
  using Scalar = int32_t;
  using Scales = CodeScales;
  static constexpr bool kRoundsOperands = true;
  using Sums = padless::PADLESS_ISA::Sums;
  using Weights = padless::PADLESS_ISA::Weights;
  using Input = padless::PADLESS_ISA::Input;
  static constexpr int kVectorBytes = 2 * simd::Vec::kLanes;
  static Sums zero() { return zero_sums(); }
  static Sums load(const int32_t* p) { return load_sums(p); }
  static void store(int32_t* p, Sums sums) { store_sums(p, sums); }
  static Weights weights(const char* p) { return widen(p); }
  static Input input(const char* p) { return repeat(p); }
  static Sums add(Sums sums, Input input, Weights weights) { return add_products(sums, input, weights); }
#if defined(PADLESS_ISA_NEON)
  using InputLanes = int16x8_t;
  static InputLanes input_lanes(const char* p) { return vld1q_s16(reinterpret_cast<const int16_t*>(p)); }
  template <int kLane>
  static Sums add_lane(Sums sums, InputLanes input, Weights weights) {
    const Sums first = vmlal_laneq_s16(sums, weights.first, input, 2 * kLane);
    return vmlal_laneq_s16(first, weights.second, input, 2 * kLane + 1);
  }
#endif
  static simd::Vec value(const Scales& scales, int64_t row, const int32_t* row_sums, int vector) {
    return dequantise(scales, row, row_sums, vector);
  }
};

}  // namespace

extern const GemmKernel i8_widen_kernel;
const GemmKernel i8_widen_kernel = {
    .name = "i8 widened",
    .operand = OperandFormat::kI16,
    .panel = PanelFormat::kI8,
    .lanes = simd::Vec::kLanes,
    .vectors = kVectors,
    .glu_vectors = 2,
    .group = 2,
    .tile_rows = kTileRows,
    .multiply = multiply_panel<WidenDot, kTileRows, kVectors>,
    .convert_rows = convert_rows_to_codes<int16_t>,
};

}  // namespace padless::PADLESS_ISA
