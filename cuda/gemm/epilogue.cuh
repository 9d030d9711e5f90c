// What follows a matrix product, eight columns at a time:  out = activation(product + bias) + residual, with
// a GLU weight activation(gate) * up + residual, or activation(product + bias + residual). Shared by all GEMM
// kernels, so that their results agree. A product of e4m3 is multiplied by the scales of its row and column
// first.
#pragma once

#include "cuda/gemm/activation.cuh"
#include "cuda/tile/row_count.cuh"
#include "cuda/tile/vector.cuh"

namespace padless::cuda {

template <class T>
struct Epilogue {
  using Element = T;
  static constexpr bool kScaled = false;
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

template <class T>
struct ScaledEpilogue : Epilogue<T> {
  static constexpr bool kScaled = true;
  const float* row_scales;     // [rows]
  const float* column_scales;  // [product columns]
};

template <class T>
DEVICE void add_bias(float (&values)[kVectorElements], const Epilogue<T>& e, int64_t, int column,
                     int columns) {
  if (e.bias == nullptr) return;
  UNROLL
  for (int i = 0; i < kVectorElements; i++) {
    if (column + i < columns) values[i] += e.bias[column + i];
  }
}

// The order of the operations is that of finish_fragments().
template <class T>
DEVICE void add_bias(float (&values)[kVectorElements], const ScaledEpilogue<T>& e, int64_t row, int column,
                     int columns) {
  const float row_scale = e.row_scales[row];
  UNROLL
  for (int i = 0; i < kVectorElements; i++) {
    if (column + i >= columns) continue;
    const float bias = e.bias == nullptr ? 0.0f : e.bias[column + i];
    values[i] = fmaf(values[i] * e.column_scales[column + i], row_scale, bias);
  }
}

template <class T>
DEVICE void add_residual(float (&values)[kVectorElements], const Epilogue<T>& e, int64_t row, int column) {
  const T* source = e.residual + row * e.residual_stride + column;
  float residual[kVectorElements];
  load_vector(residual, source, e.out_cols - column, e.whole);
  UNROLL
  for (int i = 0; i < kVectorElements; i++) values[i] += residual[i];
}

// `product` and, with a GLU, `up` are the columns from `column` (and column + 8) of row `row` of the product,
// which has `columns` columns. Without a GLU `up` is not used.
template <class E>
DEVICE void finish(float (&product)[kVectorElements], float (&up)[kVectorElements], const E& e, int64_t row,
                   int column, int columns) {
  using T = typename E::Element;
  add_bias(product, e, row, column, columns);
  if (e.residual_first) add_residual(product, e, row, column);
  UNROLL
  for (int i = 0; i < kVectorElements; i++) product[i] = activate<T>(e.activation, product[i]);
  int out_column = column;
  if (e.glu) {
    out_column = column / 2;
    add_bias(up, e, row, column + kVectorElements, columns);
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

// The same with the product, f32, in shared memory: 16-byte aligned, eight columns or with a GLU sixteen.
template <class E>
DEVICE void finish(const float* source, const E& e, int64_t row, int column, int columns) {
  float product[kVectorElements], up[kVectorElements];
  unpack(product, load_aligned(source));
  if (e.glu) unpack(up, load_aligned(source + kVectorElements));
  finish(product, up, e, row, column, columns);
}

// Eight columns of the sums of a part of K, from shared memory to `row`, a row of the partial product.
DEVICE void store_partial(const float* source, float* row, int column, int columns) {
  const RawVector<float> sums = load_aligned(source);
  if (columns % kVectorElements == 0) {
    store_aligned(row + column, sums);
  } else {
    float values[kVectorElements];
    unpack(values, sums);
    store_elements(row + column, values, columns - column);
  }
}

}  // namespace padless::cuda
