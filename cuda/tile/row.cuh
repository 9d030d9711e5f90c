// A row of a matrix in registers, spread over one warp or several: vector v of thread t is the eight columns
// from 8 * (v * threads + t), so that a warp's loads are contiguous.
#pragma once

#include "cuda/tile/vector.cuh"

namespace padless::cuda {

template <int kWarps_, int kVectors_>
struct Row {
  static constexpr int kWarps = kWarps_, kVectors = kVectors_, kThreads = 32 * kWarps;

  float values[kVectors][kVectorElements];

  static DEVICE int thread() { return static_cast<int>(threadIdx.x) % kThreads; }
  static DEVICE int column(int vector) { return kVectorElements * (vector * kThreads + thread()); }
};

// `whole`: the matrix has 16-byte aligned rows of a multiple of eight columns. Columns past `cols` are 0.
template <class T, int kWarps, int kVectors>
DEVICE void load_row(Row<kWarps, kVectors>& row, const T* source, int cols, bool whole) {
  using R = Row<kWarps, kVectors>;
  if (whole) {
    RawVector<T> raw[kVectors];  // all loads are in flight before the first conversion waits
    UNROLL
    for (int v = 0; v < kVectors; v++)
      raw[v] = R::column(v) < cols ? load_aligned(source + R::column(v)) : RawVector<T>{};
    UNROLL
    for (int v = 0; v < kVectors; v++) unpack(row.values[v], raw[v]);
  } else {
    UNROLL
    for (int v = 0; v < kVectors; v++)
      load_elements(row.values[v], source + R::column(v), cols - R::column(v));
  }
}

template <class T, int kWarps, int kVectors>
DEVICE void store_row(T* destination, const Row<kWarps, kVectors>& row, int cols, bool whole) {
  using R = Row<kWarps, kVectors>;
  UNROLL
  for (int v = 0; v < kVectors; v++) {
    const int column = R::column(v);
    if (!whole)
      store_elements(destination + column, row.values[v], cols - column);
    else if (column < cols)
      store_aligned(destination + column, pack<T>(row.values[v]));
  }
}

template <class T, int kWarps, int kVectors>
DEVICE void add_row(Row<kWarps, kVectors>& row, const T* source, int cols, bool whole) {
  Row<kWarps, kVectors> other;
  load_row(other, source, cols, whole);
  UNROLL
  for (int v = 0; v < kVectors; v++) {
    UNROLL
    for (int i = 0; i < kVectorElements; i++) row.values[v][i] += other.values[v][i];
  }
}

template <class Combine>
DEVICE float warp_reduce(float value, Combine combine) {
  UNROLL
  for (int mask = 16; mask > 0; mask /= 2) value = combine(value, __shfl_xor_sync(~0u, value, mask));
  return value;
}
DEVICE float warp_sum(float value) {
  return warp_reduce(value, [](float a, float b) { return a + b; });
}

// combine() over the row's threads, in the same order always. Several warps: every thread of the block calls
// it, with a `partial` that no earlier reduction of this row has used.
template <int kWarps, class Combine>
DEVICE float row_reduce(float value, float (&partial)[kWarps], Combine combine) {
  value = warp_reduce(value, combine);
  if constexpr (kWarps > 1) {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    if (threadIdx.x % 32 == 0) partial[warp] = value;
    __syncthreads();
    value = partial[0];
    UNROLL
    for (int w = 1; w < kWarps; w++) value = combine(value, partial[w]);
  }
  return value;
}
template <int kWarps>
DEVICE float row_sum(float value, float (&partial)[kWarps]) {
  return row_reduce<kWarps>(value, partial, [](float a, float b) { return a + b; });
}
// Of numbers: NaN is passed over.
template <int kWarps>
DEVICE float row_max(float value, float (&partial)[kWarps]) {
  return row_reduce<kWarps>(value, partial, [](float a, float b) { return fmaxf(a, b); });
}

// One row a block where a row takes several warps, kRowsPerBlock otherwise.
constexpr int kOneWarpRowsPerBlock = 4;
template <int kWarps>
constexpr int kRowsPerBlock = kWarps == 1 ? kOneWarpRowsPerBlock : 1;
template <int kWarps>
constexpr int kRowThreads = 32 * kWarps * kRowsPerBlock<kWarps>;

template <int kWarps>
DEVICE int64_t row_index() {
  return static_cast<int64_t>(blockIdx.x) * kRowsPerBlock<kWarps> + threadIdx.x / (32 * kWarps);
}

// Host: calls f.template operator()<kWarps, kVectors>() with the smallest row that holds `cols` columns.
template <class F>
Status with_row_shape(int64_t cols, F&& f) {
  constexpr int64_t kWarpColumns = 32 * kVectorElements;
  if (cols <= 1 * kWarpColumns) return f.template operator()<1, 1>();
  if (cols <= 2 * kWarpColumns) return f.template operator()<1, 2>();
  if (cols <= 3 * kWarpColumns) return f.template operator()<1, 3>();
  if (cols <= 4 * kWarpColumns) return f.template operator()<1, 4>();
  if (cols <= 8 * kWarpColumns) return f.template operator()<4, 2>();
  if (cols <= 16 * kWarpColumns) return f.template operator()<8, 2>();
  if (cols <= 32 * kWarpColumns) return f.template operator()<16, 2>();
  if (cols <= 64 * kWarpColumns) return f.template operator()<16, 4>();
  return {Code::kUnsupported,
          concat("rows of ", cols, " columns; at most ", 64 * kWarpColumns, " are supported")};
}

}  // namespace padless::cuda
