// F32Product: how the two products of attention multiply, and how their operands lie.
//
// Operands are rows of 32-bit units. A product of fp32 has one number a unit; one of bf16 pairs has two
// neighbours along the sum (columns of q and k, keys of p and v) in each.
#pragma once

#include "lib/engine/cpu/attention/lanes.h"

namespace padless::PADLESS_ISA {
namespace {

/** to[row][column] = from[row][column], row by row; whole registers are written, with zeros beyond cols. */
inline void copy_rows(const float* from, int64_t stride, int64_t rows, int64_t cols, float* to,
                      int64_t to_stride) {
  for (int64_t row = 0; row < rows; ++row, from += stride, to += to_stride) {
    int64_t i = 0;
    for (; i + kLanes <= cols; i += kLanes) store(to + i, load(from + i));
    if (i < cols) store(to + i, load(from + i, static_cast<int>(cols - i)));
  }
}

struct F32Product {
  static constexpr bool kPairs = false;
  /** Units that `count` numbers along the sum fill. */
  static int64_t units(int64_t count) { return count; }
  static Vec multiply_add(Vec a, Vec b, Vec sum) { return fma(a, b, sum); }

  /** K [rows, cols] to [rows, to_stride >= units of cols in whole registers]. */
  static void pack_keys(const float* from, int64_t stride, int64_t rows, int64_t cols, float* to,
                        int64_t to_stride) {
    copy_rows(from, stride, rows, cols, to, to_stride);
  }
  /** V [rows, cols] to [units of rows, to_stride >= cols in whole registers]. */
  static void pack_values(const float* from, int64_t stride, int64_t rows, int64_t cols, float* to,
                          int64_t to_stride) {
    copy_rows(from, stride, rows, cols, to, to_stride);
  }
  /** q or p [count, width] to [units of count, width], in place. */
  static void pair_rows(float*, int64_t, int64_t) {}
};

}  // namespace
}  // namespace padless::PADLESS_ISA
