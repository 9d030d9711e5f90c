// See norm_kernel.h. A row is read from L1 two or three times; its sums go over four registers in turn, so
// that additions overlap, and are the same whatever rows come before or after.
#include "lib/engine/cpu/rows/norm_kernel.h"

#include "lib/engine/cpu/simd/vec.h"

namespace padless::PADLESS_ISA {
namespace {

using simd::Vec;

inline Vec load_lanes(const float* p, int64_t left) {
  return left >= Vec::kLanes ? simd::load(p) : simd::load(p, static_cast<int>(left));
}

inline void store_lanes(float* p, Vec value, int64_t left) {
  left >= Vec::kLanes ? simd::store(p, value) : simd::store(p, value, static_cast<int>(left));
}

/** Sum over a row of term(x); the lanes after the last column are added one by one. */
template <class Term>
float sum_row(const float* x, int64_t columns, Term term) {
  constexpr int kLanes = Vec::kLanes;
  Vec sums[4] = {simd::zero(), simd::zero(), simd::zero(), simd::zero()};
  int64_t column = 0;
  for (; column + 4 * kLanes <= columns; column += 4 * kLanes) {
    for (int i = 0; i < 4; ++i) sums[i] = sums[i] + term(simd::load(x + column + i * kLanes));
  }
  for (int i = 0; column + kLanes <= columns; column += kLanes, ++i) {
    sums[i] = sums[i] + term(simd::load(x + column));
  }
  float total = simd::reduce_add((sums[0] + sums[2]) + (sums[1] + sums[3]));
  if (column < columns) {
    float tail[kLanes];
    simd::store(tail, term(simd::load(x + column, static_cast<int>(columns - column))));
    for (int64_t i = 0; i < columns - column; ++i) total += tail[i];
  }
  return total;
}

float sum_of_squares(const float* x, int64_t columns, float mean) {
  return sum_row(x, columns, [mean = simd::broadcast(mean)](Vec value) {
    const Vec deviation = value - mean;
    return deviation * deviation;
  });
}

/** out = (x - mean) * factor * gamma + beta + add. */
void scale_row(const NormTask& task, int64_t row, float mean, float factor) {
  const float* x = task.in + row * task.in_stride;
  const float* add = task.add ? task.add + row * task.add_stride : nullptr;
  float* out = task.out + row * task.out_stride;
  const Vec mean_vector = simd::broadcast(mean);
  const Vec factor_vector = simd::broadcast(factor);
  for (int64_t column = 0; column < task.columns; column += Vec::kLanes) {
    const int64_t left = task.columns - column;
    Vec value = (load_lanes(x + column, left) - mean_vector) * factor_vector;
    if (task.gamma) value = value * load_lanes(task.gamma + column, left);
    if (task.beta) value = value + load_lanes(task.beta + column, left);
    if (add) value = value + load_lanes(add + column, left);
    store_lanes(out + column, value, left);
  }
}

void layer_norm(const NormTask& task) {
  const float count = static_cast<float>(task.columns);
  for (int64_t row = 0; row < task.rows; ++row) {
    const float* x = task.in + row * task.in_stride;
    const float mean = sum_row(x, task.columns, [](Vec value) { return value; }) / count;
    const float variance = sum_of_squares(x, task.columns, mean) / count;
    scale_row(task, row, mean, 1.0f / __builtin_sqrtf(variance + task.eps));
  }
}

void rms_norm(const NormTask& task) {
  const float count = static_cast<float>(task.columns);
  for (int64_t row = 0; row < task.rows; ++row) {
    const float* x = task.in + row * task.in_stride;
    const float mean_square = sum_of_squares(x, task.columns, 0.0f) / count;
    scale_row(task, row, 0.0f, 1.0f / __builtin_sqrtf(mean_square + task.eps));
  }
}

void l2_normalize(const NormTask& task) {
  for (int64_t row = 0; row < task.rows; ++row) {
    const float* x = task.in + row * task.in_stride;
    const float length = __builtin_sqrtf(sum_of_squares(x, task.columns, 0.0f));
    scale_row(task, row, 0.0f, 1.0f / (length > task.eps ? length : task.eps));
  }
}

}  // namespace

extern const NormKernels norm_kernels;
const NormKernels norm_kernels = {layer_norm, rms_norm, l2_normalize};

}  // namespace padless::PADLESS_ISA
