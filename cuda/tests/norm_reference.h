// A row's norm in the arithmetic of Real: double for what is right, float for what rounding alone does.
#pragma once

#include <cmath>
#include <vector>

#include "cuda/tests/kernel_support.h"

namespace padless::cuda::test {

/** gamma (x - mean) / sqrt(variance + eps) + beta; RMS norms have no mean. Without `has_beta` nothing is
 * added. */
template <class Real>
void normalize(std::vector<Real>& x, NormKind kind, float eps, const std::vector<float>& gamma,
               const std::vector<float>& beta, bool has_beta) {
  const Real count = static_cast<Real>(x.size());
  Real mean = 0, squares = 0;
  if (kind == NormKind::kLayer) {
    for (Real v : x) mean += v;
    mean /= count;
  }
  for (Real v : x) squares += (v - mean) * (v - mean);
  const Real scale = 1 / std::sqrt(squares / count + static_cast<Real>(eps));
  for (size_t i = 0; i < x.size(); i++) {
    x[i] = (x[i] - mean) * scale * static_cast<Real>(gamma[i]) +
           (has_beta ? static_cast<Real>(beta[i]) : Real{0});
  }
}

}  // namespace padless::cuda::test
