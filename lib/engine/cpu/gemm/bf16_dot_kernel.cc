// bf16 products with AVX512-BF16: a step multiplies pairs of bf16 and adds both products to an fp32 sum.
#include "lib/engine/cpu/gemm/panel.h"

namespace padless::avx512 {
namespace {

struct BF16Dot {
  using Scalar = float;
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
  static simd::Vec value(const PanelTask&, int64_t, const float* row_sums, int vector) {
    return simd::load(row_sums + vector * simd::Vec::kLanes);
  }
};

/** Rounds to nearest even; see GemmKernel::convert_rows. */
void convert_rows_to_bf16(const float* source, int64_t source_stride, int64_t rows, int64_t columns,
                          int64_t padded_columns, char* operand, int64_t operand_stride, float*, int32_t*) {
  constexpr int kLanes = simd::Vec::kLanes;
  for (int64_t row = 0; row < rows; ++row) {
    const float* in = source + row * source_stride;
    char* out = operand + row * operand_stride;
    int64_t column = 0;
    for (; column + kLanes <= columns; column += kLanes) {
      const __m256i rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(in + column));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + column * 2), rounded);
    }
    if (column < padded_columns) {
      const simd::Vec tail = simd::load(in + column, static_cast<int>(columns - column));
      _mm256_mask_storeu_epi16(out + column * 2, simd::first_lanes(static_cast<int>(padded_columns - column)),
                               (__m256i)_mm512_cvtneps_pbh(tail.v));
    }
  }
}

constexpr int kTileRows = 8;
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
    .multiply = multiply_panel<BF16Dot, kTileRows, kVectors>,
    .convert_rows = convert_rows_to_bf16,
};

}  // namespace padless::avx512
