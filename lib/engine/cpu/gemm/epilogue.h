// What happens to a tile's sums on their way to memory: dequantisation, bias, activation, GLU, residual.
#pragma once

#include "lib/engine/cpu/gemm/kernel.h"
#include "lib/engine/cpu/simd/math.h"

namespace padless {
namespace {

template <Activation kActivation>
inline simd::Vec activate(simd::Vec x) {
  switch (kActivation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluErf:
      return simd::gelu_erf(x);
    case Activation::kGeluTanh:
      return simd::gelu_tanh(x);
    case Activation::kRelu:
      return simd::relu(x);
    case Activation::kSilu:
      return simd::silu(x);
    case Activation::kTanh:
      return simd::tanh(x);
    case Activation::kSigmoid:
      return simd::sigmoid(x);
  }
  return x;
}

/** `Dot::value` turns the sums of one vector of one row into the product's values; the bias is added here. */
template <class Dot, Activation kActivation, bool kGlu>
void finish_tile(const PanelTask& task, int64_t first_row, int rows, const typename Dot::Scalar* sums) {
  using simd::Vec;
  const int width = task.vectors * Vec::kLanes;
  const int out_vectors = kGlu ? task.vectors / 2 : task.vectors;
  for (int r = 0; r < rows; ++r) {
    const int64_t row = first_row + r;
    const typename Dot::Scalar* row_sums = sums + r * width;
    const auto product = [&](int vector) {
      const Vec value = Dot::value(task, row, row_sums, vector);
      return task.bias ? value + simd::load(task.bias + vector * Vec::kLanes) : value;
    };
    float* out = task.out + row * task.out_stride;
    const float* residual = task.residual ? task.residual + row * task.residual_stride : nullptr;
    for (int v = 0; v < out_vectors; ++v) {
      const int column = v * Vec::kLanes;
      const int left = task.columns - column;
      const auto plus_residual = [&](Vec value) {
        return value +
               (left >= Vec::kLanes ? simd::load(residual + column) : simd::load(residual + column, left));
      };
      Vec result = product(v);
      if (!kGlu && task.residual_first) result = plus_residual(result);
      result = activate<kActivation>(result);
      if (kGlu) result = result * product(v + out_vectors);
      if (residual && !task.residual_first) result = plus_residual(result);
      if (left >= Vec::kLanes) {
        simd::store(out + column, result);
      } else {
        simd::store(out + column, result, left);
      }
    }
  }
}

template <class Dot>
using FinishTile = void (*)(const PanelTask&, int64_t, int, const typename Dot::Scalar*);

template <class Dot, bool kGlu>
FinishTile<Dot> choose_finish(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return finish_tile<Dot, Activation::kNone, kGlu>;
    case Activation::kGeluErf:
      return finish_tile<Dot, Activation::kGeluErf, kGlu>;
    case Activation::kGeluTanh:
      return finish_tile<Dot, Activation::kGeluTanh, kGlu>;
    case Activation::kRelu:
      return finish_tile<Dot, Activation::kRelu, kGlu>;
    case Activation::kSilu:
      return finish_tile<Dot, Activation::kSilu, kGlu>;
    case Activation::kTanh:
      return finish_tile<Dot, Activation::kTanh, kGlu>;
    case Activation::kSigmoid:
      return finish_tile<Dot, Activation::kSigmoid, kGlu>;
  }
  return finish_tile<Dot, Activation::kNone, kGlu>;
}

}  // namespace
}  // namespace padless
