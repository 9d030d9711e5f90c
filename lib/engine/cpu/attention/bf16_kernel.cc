// Attention with AVX512-BF16: operands of both products are rounded to bf16, sums and softmax are fp32.
#include <immintrin.h>

#include "lib/engine/cpu/attention/flash.h"

namespace padless::avx512 {
namespace {

/** Units of two bf16, the lower half first; see F32Product. */
struct BF16Product {
  static constexpr bool kPairs = true;
  static int64_t units(int64_t count) { return (count + 1) / 2; }

  static Vec multiply_add(Vec a, Vec b, Vec sum) {
    return {_mm512_dpbf16_ps(sum.v, (__m512bh)_mm512_castps_si512(a.v), (__m512bh)_mm512_castps_si512(b.v))};
  }

  static void pack_keys(const float* from, int64_t stride, int64_t rows, int64_t cols, float* to,
                        int64_t to_stride) {
    for (int64_t row = 0; row < rows; ++row, from += stride, to += to_stride) {
      for (int64_t i = 0; i < cols; i += 2 * kLanes) {
        const Vec first = load_columns(from, i, cols);
        const Vec second = load_columns(from, i + kLanes, cols);
        store(to + i / 2, as_units((__m512i)_mm512_cvtne2ps_pbh(second.v, first.v)));
      }
    }
  }

  static void pack_values(const float* from, int64_t stride, int64_t rows, int64_t cols, float* to,
                          int64_t to_stride) {
    for (int64_t row = 0; row < rows; row += 2, from += 2 * stride, to += to_stride) {
      for (int64_t i = 0; i < cols; i += kLanes) {
        const Vec lower = load_columns(from, i, cols);
        const Vec upper = row + 1 < rows ? load_columns(from + stride, i, cols) : zero();
        store(to + i, pair(lower, upper));
      }
    }
  }

  static void pair_rows(float* rows, int64_t count, int64_t width) {
    const float* from = rows;
    for (int64_t row = 0; row < count; row += 2, from += 2 * width, rows += width) {
      for (int64_t i = 0; i < width; i += kLanes) {
        const Vec upper = row + 1 < count ? load(from + width + i) : zero();
        store(rows + i, pair(load(from + i), upper));
      }
    }
  }

 private:
  static Vec as_units(__m512i bits) { return {_mm512_castsi512_ps(bits)}; }

  /** Columns [first, first + kLanes) of a row, 0 from cols on. */
  static Vec load_columns(const float* row, int64_t first, int64_t cols) {
    if (first + kLanes <= cols) return load(row + first);
    return first < cols ? load(row + first, static_cast<int>(cols - first)) : zero();
  }

  /** unit[lane] = lower[lane], upper[lane], rounded to nearest even. */
  static Vec pair(Vec lower, Vec upper) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                           7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(upper.v, lower.v);
    return as_units(_mm512_permutexvar_epi16(order, both));
  }
};

}  // namespace

const AttentionKernels attention_bf16_kernels = {scratch_floats, run<BF16Product>};

}  // namespace padless::avx512
