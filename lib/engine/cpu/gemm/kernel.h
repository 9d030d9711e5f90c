// What a matrix kernel of one instruction set and one compute type offers, as plain data and functions.
//
// The product out[m, n] = sum over k of a[m, k] * w[n, k] is computed panel by panel. A panel holds a few
// vectors' worth of outputs n; a step takes 4 bytes of every row of A (one float, two bf16, four int8: a
// group of consecutive k; 6 bytes where a float comes as three bf16) against one vector register for each of
// the panel's vectors:
//
//   panel[step][vector][lane][group]  =  w[vector * lanes + lane][step * group + ...]
//
// Whatever the tile, a result is the sum over steps in rising order from zero: its bits do not depend on how
// many rows or columns are computed together, or on where the steps are cut into blocks.
#pragma once

#include <cstdint>

#include "lib/engine/activation.h"
#include "lib/engine/cpu/gemm/row_extent.h"
#include "lib/engine/cpu/gemm/row_layout.h"

namespace padless {

/** How rows of A lie in memory for a kernel. */
enum class OperandFormat {
  kF32,        // as they come
  kBF16,       // rounded
  kU8,         // value = scale * (code - zero point), a scale and zero point a row
  kS8,         // the same codes and zero points, less by 128
  kI16,        // the codes of kU8, widened
  kBF16Parts,  // three roundings to bf16, of which each value is the sum
};

/** Whether rows have scales and zero points. */
constexpr bool is_quantised(OperandFormat format) {
  return format == OperandFormat::kU8 || format == OperandFormat::kS8 || format == OperandFormat::kI16;
}

/** How a panel's elements are stored. */
enum class PanelFormat { kF32, kBF16, kI8 };

/** All rows of a block against one panel. Pointers to columns are already at the panel's first column. */
struct PanelTask {
  const char* a = nullptr;                // rows of the kernel's OperandFormat
  RowLayout a_rows;                       // in tiles only for kernels whose rows_in_tiles
  const float* a_scale = nullptr;         // [rows], quantised operands only
  const int32_t* a_zero_point = nullptr;  // [rows], quantised operands only
  int64_t rows = 0;

  const char* panel = nullptr;
  int64_t steps = 0;
  int64_t block_steps = 0;           // steps taken at a time over all rows, so that they stay in a cache
  int vectors = 0;                   // that the panel holds
  int columns = 0;                   // of the result; the rest of the panel is padding
  const char* next_panel = nullptr;  // what this thread will read next, to be fetched meanwhile
  int64_t next_panel_bytes = 0;
  bool fetch_into_l1 = false;           // rather than L2: it is read within this panel or right after it
  const float* bias = nullptr;          // [vectors * lanes], or null
  const float* scale = nullptr;         // [vectors * lanes], quantised panels only
  const int32_t* column_sum = nullptr;  // [vectors * lanes], quantised panels only: sum of w over k

  bool glu = false;  // the panel's first half of vectors are gates, the second their values
  Activation activation = Activation::kNone;
  const float* residual = nullptr;  // [rows, columns], or null; may be `out`
  int64_t residual_stride = 0;      // elements
  bool residual_first = false;      // added before the activation; never with a GLU
  float* out = nullptr;             // [rows, columns]
  int64_t out_stride = 0;           // elements
  char* bf16_out = nullptr;  // the same as bf16 instead, where the kernel stores_bf16; no residual then
  RowLayout bf16_rows;       // of bf16_out

  void* accumulators = nullptr;  // rows rounded up to tile_rows, by vectors * lanes, 4 bytes each
  char* scratch = nullptr;       // scratch_bytes of the kernel, aligned to 64
  // Kernels on tiles take `steps` in portions: the sums of the last one stay in `accumulators`.
  bool resumes = false;  // adds to them
  bool finishes = true;  // writes results
};

/** Steps whose parts of bf16 lie together in a row. */
constexpr int kPartSteps = 32;

/** Rows [begin, end) that become operands; pointers are those of row 0. */
struct ConversionTask {
  const char* source = nullptr;  // f32 or bf16
  RowLayout source_rows;         // in tiles: bf16 only
  int64_t begin = 0;
  int64_t end = 0;
  int64_t columns = 0;
  int64_t padded_columns = 0;  // zeros from `columns` on
  char* operand = nullptr;
  RowLayout operand_rows;
  float* scale = nullptr;         // quantised operands only
  int32_t* zero_point = nullptr;  // quantised operands only
  const RowExtent* extents =
      nullptr;  // of rows from `begin` on, where they are known; quantised operands only
};

struct GemmKernel {
  const char* name;
  OperandFormat operand;
  PanelFormat panel;
  int lanes;                   // outputs a vector
  int vectors;                 // a panel
  int glu_vectors;             // a panel of a GLU: even
  int group;                   // k a step
  int tile_rows;               // rows whose sums are in registers at a time
  int step_multiple = 1;       // steps of a panel are rounded up to whole multiples, by zeros
  bool stores_bf16 = false;    // results can be rows of bf16, which a next product reads
  bool panel_in_l1 = false;    // rereads a panel's steps too fast for L2
  bool rows_in_tiles = false;  // operands lie in tiles, and rows of bf16 between two products
  int64_t scratch_bytes = 0;

  void (*multiply)(const PanelTask& task);

  /** Converts rows of f32 to `operand`. Null for kF32, whose rows can be used where they are. */
  void (*convert_rows)(const ConversionTask& task);
  /** The same from rows of bf16, of kernels that store them but multiply other operands; null elsewhere. */
  void (*convert_bf16_rows)(const ConversionTask& task) = nullptr;
};

/** Bytes of a converted row, or of a portion of one, that `steps` steps read. */
constexpr int64_t operand_bytes(const GemmKernel& kernel, int64_t steps) {
  if (kernel.operand != OperandFormat::kBF16Parts) return steps * 4;
  return (steps + kPartSteps - 1) / kPartSteps * kPartSteps * 6;
}

/** Bytes of a row's sums over a panel. */
constexpr int64_t panel_sum_bytes(const GemmKernel& kernel) {
  const int vectors = kernel.vectors > kernel.glu_vectors ? kernel.vectors : kernel.glu_vectors;
  return int64_t{vectors} * kernel.lanes * 4;
}

}  // namespace padless
