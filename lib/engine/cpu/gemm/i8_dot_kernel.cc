// int8 products with VNNI or SDOT: a step multiplies four bytes by four and adds all to a 32-bit sum. VNNI
// takes unsigned by signed bytes, SDOT signed by signed ones.
#include "lib/engine/cpu/gemm/code_rows.h"
#include "lib/engine/cpu/gemm/panel.h"

namespace padless::PADLESS_ISA {
namespace {

#if defined(PADLESS_ISA_AVX512)
using IntVector = __m512i;
inline IntVector zero_sums() { return _mm512_setzero_si512(); }
inline IntVector load_bytes(const void* p) { return _mm512_loadu_si512(p); }
inline void store_bytes(void* p, IntVector value) { _mm512_storeu_si512(p, value); }
inline IntVector repeat(int32_t value) { return _mm512_set1_epi32(value); }
inline IntVector dot(IntVector sums, IntVector codes, IntVector weights) {
  return _mm512_dpbusd_epi32(sums, codes, weights);
}
using Code = uint8_t;
constexpr OperandFormat kOperand = OperandFormat::kU8;
constexpr int kTileRows = 8;
constexpr int kVectors = 3;
#elif defined(PADLESS_ISA_NEON)
using IntVector = int32x4_t;
inline IntVector zero_sums() { return vdupq_n_s32(0); }
inline IntVector load_bytes(const void* p) { return vld1q_s32(static_cast<const int32_t*>(p)); }
inline void store_bytes(void* p, IntVector value) { vst1q_s32(static_cast<int32_t*>(p), value); }
inline IntVector repeat(int32_t value) { return vdupq_n_s32(value); }
inline IntVector dot(IntVector sums, IntVector codes, IntVector weights) {
  return vdotq_s32(sums, vreinterpretq_s8_s32(codes), vreinterpretq_s8_s32(weights));
}
using Code = int8_t;
constexpr OperandFormat kOperand = OperandFormat::kS8;
constexpr int kTileRows = 6;
constexpr int kVectors = 3;
#else
using IntVector = __m256i;
inline IntVector zero_sums() { return _mm256_setzero_si256(); }
inline IntVector load_bytes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store_bytes(void* p, IntVector value) { _mm256_storeu_si256(static_cast<__m256i*>(p), value); }
inline IntVector repeat(int32_t value) { return _mm256_set1_epi32(value); }
inline IntVector dot(IntVector sums, IntVector codes, IntVector weights) {
  return _mm256_dpbusd_avx_epi32(sums, codes, weights);
}
using Code = uint8_t;
constexpr OperandFormat kOperand = OperandFormat::kU8;
constexpr int kTileRows = 6;
constexpr int kVectors = 2;
#endif

struct ByteDot {
  using Scalar = int32_t;
  using Scales = CodeScales;
  static constexpr bool kRoundsOperands = true;
  using Sums = IntVector;
  using Weights = IntVector;
  using Input = IntVector;
  static constexpr int kVectorBytes = sizeof(IntVector);
  static Sums zero() { return zero_sums(); }
  static Sums load(const int32_t* p) { return load_bytes(p); }
  static void store(int32_t* p, Sums sums) { store_bytes(p, sums); }
  static Weights weights(const char* p) { return load_bytes(p); }
  static Input input(const char* p) { return repeat(*reinterpret_cast<const int32_t*>(p)); }
  static Sums add(Sums sums, Input input, Weights weights) { return dot(sums, input, weights); }
#if defined(PADLESS_ISA_NEON)
  using InputLanes = IntVector;
  static InputLanes input_lanes(const char* p) { return load_bytes(p); }
  template <int kLane>
  static Sums add_lane(Sums sums, InputLanes input, Weights weights) {
    return vdotq_laneq_s32(sums, vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(input), kLane);
  }
#endif
  static simd::Vec value(const Scales& scales, int64_t row, const int32_t* row_sums, int vector) {
    return dequantise(scales, row, row_sums, vector);
  }
};

}  // namespace

extern const GemmKernel i8_dot_kernel;
const GemmKernel i8_dot_kernel = {
    .name = "i8 dot",
    .operand = kOperand,
    .panel = PanelFormat::kI8,
    .lanes = simd::Vec::kLanes,
    .vectors = kVectors,
    .glu_vectors = 2,
    .group = 4,
    .tile_rows = kTileRows,
    .multiply = multiply_panel<ByteDot, kTileRows, kVectors>,
    .convert_rows = convert_rows_to_codes<Code>,
};

}  // namespace padless::PADLESS_ISA
