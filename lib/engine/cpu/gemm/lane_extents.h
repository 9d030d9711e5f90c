// RowExtents of a few rows, from those of their lanes.
#pragma once

#include "lib/engine/cpu/gemm/row_extent.h"
#include "lib/engine/cpu/simd/reduce.h"

namespace padless {
namespace {

/** Rows whose extents are folded together, so that none waits for the reductions of one. */
struct LaneExtents {
  simd::Vec negated[simd::kReduced];  // the largest of the negated values and 0
  simd::Vec largest[simd::kReduced];  // and of the values
  simd::Vec not_finite[simd::kReduced];

  LaneExtents() {
    for (int i = 0; i < simd::kReduced; ++i) negated[i] = largest[i] = not_finite[i] = simd::zero();
  }

  /** Of the first `rows`. */
  void fold(RowExtent* extents, int rows) const {
    float lows[simd::kReduced], highs[simd::kReduced], flags[simd::kReduced];
    simd::reduce_max(negated, lows);
    simd::reduce_max(largest, highs);
    simd::reduce_add(not_finite, flags);
    for (int i = 0; i < rows; ++i) extents[i] = {-lows[i], highs[i], flags[i]};
  }
};

}  // namespace
}  // namespace padless
