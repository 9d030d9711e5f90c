// See norm_kernel.h. Rows pass through L1 a few at a time, which are summed, folded and scaled together: a
// norm is a chain of operations that wait for each other, and those of several rows overlap. Sums of a row go
// over four registers in turn and are the same whatever rows come before or after.
#include "lib/engine/cpu/rows/norm_kernel.h"

#include "lib/engine/cpu/gemm/lane_extents.h"
#include "lib/engine/cpu/simd/reduce.h"

namespace padless::PADLESS_ISA {
namespace {

using simd::Vec;

constexpr int kRows = simd::kReduced;

inline Vec load_lanes(const float* p, int64_t left) {
  return left >= Vec::kLanes ? simd::load(p) : simd::load(p, static_cast<int>(left));
}

inline void store_lanes(float* p, Vec value, int64_t left) {
  left >= Vec::kLanes ? simd::store(p, value) : simd::store(p, value, static_cast<int>(left));
}

/** kRows rows, or as many as are left. */
struct RowGroup {
  RowGroup(const NormTask& task, int64_t first_row)
      : in(task.in + first_row * task.in_stride),
        stride(task.in_stride),
        columns(task.columns),
        first(first_row),
        rows(task.rows - first_row < kRows ? static_cast<int>(task.rows - first_row) : kRows) {}
  const float* row(int index) const { return in + index * stride; }

  const float* in;
  int64_t stride;
  int64_t columns;
  int64_t first;
  int rows;
};

/** Of the whole vectors of a row: the sum of add(x, sum), lane by lane. */
template <class Add>
inline Vec sum_vectors(const float* x, int64_t columns, const Add& add) {
  constexpr int kLanes = Vec::kLanes;
  Vec sums[4] = {simd::zero(), simd::zero(), simd::zero(), simd::zero()};
  int64_t column = 0;
  for (; column + 4 * kLanes <= columns; column += 4 * kLanes) {
    for (int i = 0; i < 4; ++i) sums[i] = add(simd::load(x + column + i * kLanes), sums[i]);
  }
  for (int i = 0; column + kLanes <= columns; column += kLanes, ++i) {
    sums[i] = add(simd::load(x + column), sums[i]);
  }
  return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

/** Of each row, the sum of add(x, sum, row); the lanes after the last whole vector come one by one. */
template <class Add>
inline void sum_rows(const RowGroup& group, float (&totals)[kRows], const Add& add) {
  Vec sums[kRows];
  for (int i = 0; i < kRows; ++i) {
    sums[i] = simd::zero();
    if (i >= group.rows) continue;
    sums[i] =
        sum_vectors(group.row(i), group.columns, [&](Vec value, Vec sum) { return add(value, sum, i); });
  }
  simd::reduce_add(sums, totals);
  const int left = static_cast<int>(group.columns % Vec::kLanes);
  if (left == 0) return;
  for (int i = 0; i < group.rows; ++i) {
    float tail[Vec::kLanes];
    simd::store(tail, add(simd::load(group.row(i) + group.columns - left, left), simd::zero(), i));
    for (int lane = 0; lane < left; ++lane) totals[i] += tail[lane];
  }
}

inline void sum_of_squares(const RowGroup& group, const float (&means)[kRows], float (&totals)[kRows]) {
  sum_rows(group, totals, [&](Vec value, Vec sum, int row) {
    const Vec deviation = value - simd::broadcast(means[row]);
    return simd::fma(deviation, deviation, sum);
  });
}

/** out = (x - mean) * factor * gamma + beta + add, and fetches the row that comes kRows later. */
template <bool kExtent>
inline void scale_row(const NormTask& task, int64_t row, float mean, float factor, LaneExtents& extents,
                      int index) {
  const float* x = task.in + row * task.in_stride;
  const float* add = task.add ? task.add + row * task.add_stride : nullptr;
  float* out = task.out + row * task.out_stride;
  const float* gamma = task.gamma;
  const float* beta = task.beta;
  const Vec mean_vector = simd::broadcast(mean);
  const Vec factor_vector = simd::broadcast(factor);
  const auto scaled = [&](int64_t column, const auto& load) {
    Vec value = (load(x + column) - mean_vector) * factor_vector;
    if (gamma && beta) {
      value = simd::fma(value, load(gamma + column), load(beta + column));
    } else if (gamma) {
      value = value * load(gamma + column);
    }
    return add ? value + load(add + column) : value;
  };
  Vec least = simd::zero(), largest = simd::zero(), not_finite = simd::zero();
  const auto extend = [&](Vec value) {
    if constexpr (!kExtent) return;
    least = simd::min(value, least);
    largest = simd::max(value, largest);
    not_finite = simd::fma(value, simd::zero(), not_finite);
  };
  const float* next = x + kRows * task.in_stride;
  int64_t column = 0;
  for (; column + Vec::kLanes <= task.columns; column += Vec::kLanes) {
    const Vec value = scaled(column, [](const float* p) { return simd::load(p); });
    extend(value);
    simd::store(out + column, value);
    __builtin_prefetch(next + column);
  }
  if (const int left = static_cast<int>(task.columns - column); left > 0) {
    simd::store(out + column, scaled(column, [&](const float* p) { return simd::load(p, left); }), left);
    extend(simd::load(out + column, left));
  }
  if constexpr (kExtent) {
    extents.negated[index] = simd::zero() - least;
    extents.largest[index] = largest;
    extents.not_finite[index] = not_finite;
  }
}

void scale_rows(const NormTask& task, const RowGroup& group, const float (&means)[kRows],
                const float (&factors)[kRows]) {
  LaneExtents extents;
  for (int i = 0; i < group.rows; ++i) {
    const int64_t row = group.first + i;
    task.extents ? scale_row<true>(task, row, means[i], factors[i], extents, i)
                 : scale_row<false>(task, row, means[i], factors[i], extents, i);
  }
  if (task.extents) extents.fold(task.extents + group.first, group.rows);
}

/** values[row] = function(values[row]) */
template <class Function>
inline void transform(float (&values)[kRows], const Function& function) {
  static_assert(kRows <= Vec::kLanes);
  simd::store(values, function(simd::load(values, kRows)), kRows);
}

/** From sums of squares: 1 / sqrt(sum / columns + eps). */
inline void invert_deviations(const NormTask& task, float (&values)[kRows]) {
  const Vec count = simd::broadcast(static_cast<float>(task.columns));
  transform(values, [&](Vec sums) {
    return simd::broadcast(1.0f) / simd::sqrt(sums / count + simd::broadcast(task.eps));
  });
}

void layer_norm(const NormTask& task) {
  const Vec count = simd::broadcast(static_cast<float>(task.columns));
  for (int64_t row = 0; row < task.rows; row += kRows) {
    const RowGroup group(task, row);
    float means[kRows], factors[kRows];
    sum_rows(group, means, [](Vec value, Vec sum, int) { return sum + value; });
    transform(means, [&](Vec sums) { return sums / count; });
    sum_of_squares(group, means, factors);
    invert_deviations(task, factors);
    scale_rows(task, group, means, factors);
  }
}

void rms_norm(const NormTask& task) {
  const float means[kRows] = {};
  for (int64_t row = 0; row < task.rows; row += kRows) {
    const RowGroup group(task, row);
    float factors[kRows];
    sum_of_squares(group, means, factors);
    invert_deviations(task, factors);
    scale_rows(task, group, means, factors);
  }
}

void l2_normalize(const NormTask& task) {
  const float means[kRows] = {};
  for (int64_t row = 0; row < task.rows; row += kRows) {
    const RowGroup group(task, row);
    float factors[kRows];
    sum_of_squares(group, means, factors);
    transform(factors, [&](Vec squares) {
      return simd::broadcast(1.0f) / simd::max(simd::broadcast(task.eps), simd::sqrt(squares));
    });
    scale_rows(task, group, means, factors);
  }
}

}  // namespace

extern const NormKernels norm_kernels;
const NormKernels norm_kernels = {layer_norm, rms_norm, l2_normalize};

}  // namespace padless::PADLESS_ISA
