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

/** Dots whose results may be rows of bf16 have store_bf16(char*, Vec, lanes). */
template <class Dot>
concept StoresBF16 = requires(char* p, simd::Vec value) { Dot::store_bf16(p, value, 1); };

/** For dots whose sums are the product already. */
struct NoScales {
  explicit NoScales(const PanelTask&) {}
};

/**
 * `Dot::value` turns the sums of one vector of one row into the product's values; the bias is added here.
 * What the loops need of the task is copied first: the compiler must think that a store to `out` can change
 * it.
 */
template <class Dot, Activation kActivation, bool kGlu>
void finish_tile(const PanelTask& task, int64_t first_row, int rows, const typename Dot::Scalar* sums) {
  using simd::Vec;
  const typename Dot::Scales scales(task);
  const float* const bias = task.bias;
  const float* const residuals = task.residual;
  const int64_t residual_stride = task.residual_stride;
  const bool residual_first = task.residual_first;
  float* const outs = task.out;
  char* const bf16_outs = task.bf16_out;
  const int64_t out_stride = task.out_stride;
  const int columns = task.columns;
  const int width = task.vectors * Vec::kLanes;
  const int out_vectors = kGlu ? task.vectors / 2 : task.vectors;
  for (int r = 0; r < rows; ++r) {
    const int64_t row = first_row + r;
    const typename Dot::Scalar* row_sums = sums + r * width;
    const auto product = [&](int vector) {
      const Vec value = Dot::value(scales, row, row_sums, vector);
      return bias ? value + simd::load(bias + vector * Vec::kLanes) : value;
    };
    float* out = outs + row * out_stride;
    const float* residual = residuals ? residuals + row * residual_stride : nullptr;
    for (int v = 0; v < out_vectors; ++v) {
      const int column = v * Vec::kLanes;
      const int left = columns - column;
      const auto plus_residual = [&](Vec value) {
        return value +
               (left >= Vec::kLanes ? simd::load(residual + column) : simd::load(residual + column, left));
      };
      Vec result = product(v);
      if (!kGlu && residual_first) result = plus_residual(result);
      result = activate<kActivation>(result);
      if (kGlu) result = result * product(v + out_vectors);
      if (residual && !residual_first) result = plus_residual(result);
      if constexpr (StoresBF16<Dot>) {
        if (bf16_outs) {
          Dot::store_bf16(bf16_outs + (row * out_stride + column) * 2, result,
                          left < Vec::kLanes ? left : Vec::kLanes);
          continue;
        }
      }
      if (left >= Vec::kLanes) {
        simd::store(out + column, result);
      } else {
        simd::store(out + column, result, left);
      }
    }
  }
}

/** Brings what the tile's epilogue writes and adds into L1 while its sums are computed. */
inline void prefetch_result(const PanelTask& task, int64_t first_row, int rows) {
  if (task.bf16_out) {
    for (int64_t row = first_row; row < first_row + rows; ++row) {
      __builtin_prefetch(task.bf16_out + row * task.out_stride * 2, 1);
    }
    return;
  }
  for (int64_t row = first_row; row < first_row + rows; ++row) {
    for (int column = 0; column < task.columns; column += 16) {
      __builtin_prefetch(task.out + row * task.out_stride + column, 1);
      if (task.residual) __builtin_prefetch(task.residual + row * task.residual_stride + column);
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
