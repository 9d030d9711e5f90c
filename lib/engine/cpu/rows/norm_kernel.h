// Normalisation of rows; one set of functions an instruction set.
#pragma once

#include <cstdint>

#include "lib/engine/cpu/gemm/row_extent.h"
#include "lib/engine/cpu/isa.h"

namespace padless {

/** Rows that a norm, and what comes before and after it, pass through L1 at a time. */
inline constexpr int64_t kRowsInL1 = 4;

struct NormTask {
  const float* in = nullptr;  // [rows, columns]
  int64_t in_stride = 0;
  float* out = nullptr;  // [rows, columns]; may be `in`
  int64_t out_stride = 0;
  int64_t rows = 0;
  int64_t columns = 0;
  const float* gamma = nullptr;  // [columns]
  const float* beta = nullptr;   // [columns], or null
  const float* add = nullptr;    // [rows, columns], or null; may be `out`
  int64_t add_stride = 0;
  float eps = 0;
  RowExtent* extents = nullptr;  // [rows] of `out`, or null
};

struct NormKernels {
  /** (x - mean) / sqrt(var + eps) * gamma + beta + add: Ba et al. 2016, statistics in two passes. */
  void (*layer)(const NormTask& task);
  /** x / sqrt(mean(x^2) + eps) * gamma + beta + add: Zhang and Sennrich 2019. */
  void (*rms)(const NormTask& task);
  /** x / max(||x||_2, eps); no gamma, no beta, no add. */
  void (*l2)(const NormTask& task);
};

const NormKernels& select_norm_kernels(const CpuIsa& isa);

}  // namespace padless
