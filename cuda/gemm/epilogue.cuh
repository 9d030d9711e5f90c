// What follows a matrix product, eight columns at a time:  out = activation(product + bias) + residual, with
// a GLU weight activation(gate) * up + residual, or activation(product + bias + residual). Shared by all GEMM
// kernels, so that their results agree.
#pragma once

#include "cuda/tile/row_count.cuh"
#include "cuda/tile/vector.cuh"
#include "lib/engine/row_program.h"

namespace padless::cuda {

template <class T>
struct Epilogue {
  const float* bias;  // [product columns], or null
  const T* residual;  // [rows, out_cols], or null
  void* out;          // [rows, out_cols], T or f32
  int64_t residual_stride, out_stride;
  int out_cols;
  Activation activation;
  bool glu;  // columns of the product alternate: eight of gate, eight of up
  bool out_f32;
  bool residual_first;  // activation(product + bias + residual), never with a GLU
  bool whole;           // residual and out have 16-byte aligned rows of a multiple of eight columns
};

DEVICE float activate(Activation activation, float x) {
  constexpr float kInverseSqrt2 = 0.70710678118654752f, kSqrt2OverPi = 0.79788456080286536f;
  switch (activation) {
    case Activation::kGeluErf:
      return 0.5f * x * (1.0f + erff(x * kInverseSqrt2));
    case Activation::kGeluTanh:
      return 0.5f * x * (1.0f + tanhf(kSqrt2OverPi * (x + 0.044715f * x * x * x)));
    case Activation::kRelu:
      return x < 0.0f ? 0.0f : x;  // keeps NaN
    case Activation::kSilu:
      return x / (1.0f + expf(-x));
    case Activation::kTanh:
      return tanhf(x);
    case Activation::kSigmoid:
      return 1.0f / (1.0f + expf(-x));
    case Activation::kNone:
      break;
  }
  return x;
}

template <class T>
DEVICE void add_bias(float (&values)[kVectorElements], const Epilogue<T>& e, int column, int columns) {
  if (e.bias == nullptr) return;
  UNROLL
  for (int i = 0; i < kVectorElements; i++) {
    if (column + i < columns) values[i] += e.bias[column + i];
  }
}

template <class T>
DEVICE void add_residual(float (&values)[kVectorElements], const Epilogue<T>& e, int64_t row, int column) {
  const T* source = e.residual + row * e.residual_stride + column;
  float residual[kVectorElements];
  if (e.whole)
    unpack(residual, load_aligned(source));
  else
    load_elements(residual, source, e.out_cols - column);
  UNROLL
  for (int i = 0; i < kVectorElements; i++) values[i] += residual[i];
}

// `product` and, with a GLU, `up` are the columns from `column` (and column + 8) of row `row` of the product,
// which has `columns` columns. Without a GLU `up` is not used.
template <class T>
DEVICE void finish(float (&product)[kVectorElements], float (&up)[kVectorElements], const Epilogue<T>& e,
                   int64_t row, int column, int columns) {
  add_bias(product, e, column, columns);
  if (e.residual_first) add_residual(product, e, row, column);
  UNROLL
  for (int i = 0; i < kVectorElements; i++) product[i] = activate(e.activation, product[i]);
  int out_column = column;
  if (e.glu) {
    out_column = column / 2;
    add_bias(up, e, column + kVectorElements, columns);
    UNROLL
    for (int i = 0; i < kVectorElements; i++) product[i] *= up[i];
  }
  const int left = e.out_cols - out_column;
  if (left <= 0) return;
  if (e.residual != nullptr && !e.residual_first) add_residual(product, e, row, out_column);
  const int64_t offset = row * e.out_stride + out_column;
  if (e.out_f32) {
    float* out = static_cast<float*>(e.out) + offset;
    if (e.whole)
      store_aligned(out, pack<float>(product));
    else
      store_elements(out, product, left);
  } else {
    T* out = static_cast<T*>(e.out) + offset;
    if (e.whole)
      store_aligned(out, pack<T>(product));
    else
      store_elements(out, product, left);
  }
}

}  // namespace padless::cuda
