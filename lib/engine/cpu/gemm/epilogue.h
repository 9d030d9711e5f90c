// What happens to a tile's sums on their way to memory: dequantisation, bias, activation, GLU, residual.
#pragma once

#include "lib/engine/cpu/gemm/kernel.h"
#include "lib/engine/cpu/simd/gelu_short.h"
#include "lib/engine/cpu/simd/math.h"

namespace padless {
namespace {

/** Dots that round what they multiply to bf16 or codes say so: then activations may be as coarse. */
template <class Dot>
concept RoundsOperands = Dot::kRoundsOperands;

template <class Dot, Activation kActivation>
inline simd::Vec activate(simd::Vec x) {
  switch (kActivation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluErf:
      return RoundsOperands<Dot> ? simd::gelu_erf_short(x) : simd::gelu_erf(x);
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
  NoScales(const PanelTask&, int) {}
};

/**
 * `Dot::value` turns the sums of one vector of one row into the product's values; the bias is added here.
 * Vector by vector, so that what belongs to a column is read once: the compiler must think that a store to
 * `out` can change all of the task.
 */
template <class Dot, Activation kActivation, bool kGlu>
void finish_tile(const PanelTask& task, int64_t first_row, int rows, const typename Dot::Scalar* sums) {
  using simd::Vec;
  const int width = task.vectors * Vec::kLanes;
  const int out_vectors = kGlu ? task.vectors / 2 : task.vectors;
  const auto bias_of = [&](int vector) {
    return task.bias ? simd::load(task.bias + vector * Vec::kLanes) : simd::zero();
  };
  const bool residual_first = task.residual_first;
  const int64_t residual_stride = task.residual_stride;
  const int64_t out_stride = task.out_stride;
  const int64_t bf16_step = task.bf16_rows.row_step();
  for (int v = 0; v < out_vectors; ++v) {
    const int column = v * Vec::kLanes;
    const int left = task.columns - column;
    const typename Dot::Scales scales(task, v);
    const typename Dot::Scales up_scales(task, kGlu ? v + out_vectors : v);
    const Vec bias = bias_of(v);
    const Vec up_bias = bias_of(kGlu ? v + out_vectors : v);
    float* out = task.out ? task.out + first_row * out_stride + column : nullptr;
    char* bf16_out = task.bf16_out ? task.bf16_out + task.bf16_rows.offset(first_row) + column * 2 : nullptr;
    const float* residual = task.residual ? task.residual + first_row * residual_stride + column : nullptr;
    const auto plus_residual = [&](Vec value) {
      return value + (left >= Vec::kLanes ? simd::load(residual) : simd::load(residual, left));
    };
    const typename Dot::Scalar* row_sums = sums;
    for (int64_t row = first_row; row < first_row + rows; ++row, row_sums += width) {
      Vec result = Dot::value(scales, row, row_sums, v) + bias;
      if (!kGlu && residual_first) result = plus_residual(result);
      result = activate<Dot, kActivation>(result);
      if (kGlu) result = result * (Dot::value(up_scales, row, row_sums, v + out_vectors) + up_bias);
      if (residual && !residual_first) result = plus_residual(result);
      if (residual) residual += residual_stride;
      if constexpr (StoresBF16<Dot>) {
        if (bf16_out) {
          Dot::store_bf16(bf16_out, result, left < Vec::kLanes ? left : Vec::kLanes);
          bf16_out += bf16_step;
          continue;
        }
      }
      if (left >= Vec::kLanes) {
        simd::store(out, result);
      } else {
        simd::store(out, result, left);
      }
      out += out_stride;
    }
  }
}

/** Brings what the tile's epilogue writes and adds into L1 while its sums are computed. */
inline void prefetch_result(const PanelTask& task, int64_t first_row, int rows) {
  if (task.bf16_out) {
    for (int64_t row = first_row; row < first_row + rows; ++row) {
      __builtin_prefetch(task.bf16_out + task.bf16_rows.offset(row), 1);
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
