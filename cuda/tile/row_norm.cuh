// LayerNorm and RMSNorm of a row in registers.
//
// Statistics are f32 and two-pass (mean, then squared deviations): a one-pass variance cancels when |mean| >>
// std, which the residual stream reaches in the last layers.
#pragma once

#include "cuda/tile/row.cuh"
#include "lib/engine/row_program.h"

namespace padless::cuda {

struct RowNorm {
  NormKind kind;
  const float* gamma;  // [cols]
  const float* beta;   // [cols], or null
  float eps;
  bool whole;  // gamma and beta are 16-byte aligned and cols is a multiple of 8
};

template <int kWarps>
struct RowNormStorage {
  float sum[kWarps];
  float squares[kWarps];
};

template <int kWarps, int kVectors>
DEVICE void normalize_row(Row<kWarps, kVectors>& row, const RowNorm& norm, int cols,
                          RowNormStorage<kWarps>& storage) {
  using R = Row<kWarps, kVectors>;
  float mean = 0.0f;
  if (norm.kind == NormKind::kLayer) {
    float sum = 0.0f;
    UNROLL
    for (int v = 0; v < kVectors; v++) {
      UNROLL
      for (int i = 0; i < kVectorElements; i++) sum += row.values[v][i];
    }
    mean = row_sum<kWarps>(sum, storage.sum) / static_cast<float>(cols);
  }
  float squares = 0.0f;
  UNROLL
  for (int v = 0; v < kVectors; v++) {
    UNROLL
    for (int i = 0; i < kVectorElements; i++) {
      const float deviation = row.values[v][i] - mean;
      row.values[v][i] = deviation;
      if (R::column(v) + i < cols) squares += deviation * deviation;
    }
  }
  const float variance = row_sum<kWarps>(squares, storage.squares) / static_cast<float>(cols);
  const float scale = 1.0f / sqrtf(variance + norm.eps);

  Row<kWarps, kVectors> gamma;
  load_row(gamma, norm.gamma, cols, norm.whole);
  UNROLL
  for (int v = 0; v < kVectors; v++) {
    UNROLL
    for (int i = 0; i < kVectorElements; i++) row.values[v][i] *= scale * gamma.values[v][i];
  }
  if (norm.beta != nullptr) add_row(row, norm.beta, cols, norm.whole);
}

}  // namespace padless::cuda
