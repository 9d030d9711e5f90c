// bf16 products with AVX512-BF16 or BFDOT: a step multiplies pairs of bf16 and adds both products to an fp32
// sum.
#include "lib/engine/cpu/gemm/bf16_rows.h"
#include "lib/engine/cpu/gemm/panel.h"

namespace padless::PADLESS_ISA {
namespace {

struct BF16Dot {
  using Scalar = float;
  using Scales = NoScales;
  static constexpr bool kRoundsOperands = true;
#if defined(PADLESS_ISA_AVX512)
  using Sums = __m512;
  using Weights = __m512bh;
  using Input = __m512bh;
  static constexpr int kVectorBytes = 64;
  static Sums zero() { return _mm512_setzero_ps(); }
  static Sums load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Sums sums) { _mm512_storeu_ps(p, sums); }
  static Weights weights(const char* p) { return (__m512bh)_mm512_loadu_si512(p); }
  static Input input(const char* p) {
    return (__m512bh)_mm512_set1_epi32(*reinterpret_cast<const int32_t*>(p));
  }
  static Sums add(Sums sums, Input input, Weights weights) { return _mm512_dpbf16_ps(sums, input, weights); }
#else
  using Sums = float32x4_t;
  using Weights = bfloat16x8_t;
  using Input = bfloat16x8_t;
  using InputLanes = bfloat16x8_t;
  static constexpr int kVectorBytes = 16;
  static Sums zero() { return vdupq_n_f32(0); }
  static Sums load(const float* p) { return vld1q_f32(p); }
  static void store(float* p, Sums sums) { vst1q_f32(p, sums); }
  static Weights weights(const char* p) { return vld1q_bf16(reinterpret_cast<const bfloat16_t*>(p)); }
  static Input input(const char* p) {
    return vreinterpretq_bf16_s32(vld1q_dup_s32(reinterpret_cast<const int32_t*>(p)));
  }
  static Sums add(Sums sums, Input input, Weights weights) { return vbfdotq_f32(sums, weights, input); }
  static InputLanes input_lanes(const char* p) { return weights(p); }
  template <int kLane>
  static Sums add_lane(Sums sums, InputLanes input, Weights weights) {
    return vbfdotq_laneq_f32(sums, weights, input, kLane);
  }
#endif
  static void store_bf16(char* p, simd::Vec values, int n) { padless::store_bf16(p, values, n); }
  static simd::Vec value(Scales, int64_t, const float* row_sums, int vector) {
    return simd::load(row_sums + vector * simd::Vec::kLanes);
  }
};

#if defined(PADLESS_ISA_AVX512)
constexpr int kTileRows = 8;
#else
constexpr int kTileRows = 6;
#endif
constexpr int kVectors = 3;

}  // namespace

extern const GemmKernel bf16_dot_kernel;
const GemmKernel bf16_dot_kernel = {
    .name = "bf16 dot",
    .operand = OperandFormat::kBF16,
    .panel = PanelFormat::kBF16,
    .lanes = simd::Vec::kLanes,
    .vectors = kVectors,
    .glu_vectors = 2,
    .group = 2,
    .tile_rows = kTileRows,
    .stores_bf16 = true,
    .multiply = multiply_panel<BF16Dot, kTileRows, kVectors>,
    .convert_rows = convert_rows_to_bf16,
};

}  // namespace padless::PADLESS_ISA
