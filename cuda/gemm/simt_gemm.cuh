// The GEMM for what tensor cores do not take: f32 operands, and rows that are not 16-byte aligned.
//
// A block computes 64 x 64 elements of the product in f32, a thread eight columns of two rows. K is read in
// steps of 16, element by element, so that any address and stride will do.
#pragma once

#include "cuda/gemm/epilogue.cuh"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda {

constexpr int kSimtBlock = 64, kSimtK = 16, kSimtThreads = 256;

template <class T>
struct SimtGemmParams {
  const T* in;      // [rows, k]
  const T* weight;  // [n, k]
  int64_t in_stride, weight_stride;
  RowCount rows;
  int n, k;
  Epilogue<T> epilogue;
};

struct SimtGemmStorage {
  float in[kSimtK][kSimtBlock + 1];
  float weight[kSimtK][kSimtBlock + 1];
};

template <class T>
DEVICE void copy_transposed(float (&tile)[kSimtK][kSimtBlock + 1], const T* source, int64_t stride,
                            int first_row, int rows, int first_k, int k) {
  for (int i = static_cast<int>(threadIdx.x); i < kSimtBlock * kSimtK; i += kSimtThreads) {
    const int row = i / kSimtK, col = i % kSimtK;
    const bool inside = first_row + row < rows && first_k + col < k;
    tile[col][row] = inside ? static_cast<float>(source[(first_row + row) * stride + first_k + col]) : 0.0f;
  }
}

template <class T>
__global__ void __launch_bounds__(kSimtThreads) simt_gemm_kernel(const SimtGemmParams<T> p) {
  SHARED_STORAGE(SimtGemmStorage, shared);
  wait_for_stream();
  const int rows = p.rows.get(), first_row = static_cast<int>(blockIdx.x) * kSimtBlock;
  const int first_col = static_cast<int>(blockIdx.y) * kSimtBlock;
  if (first_row >= rows) return;
  // With a GLU a thread takes a gate vector and its up vector of one row, otherwise two rows of one vector.
  const int thread = static_cast<int>(threadIdx.x), glu = p.epilogue.glu ? 1 : 0;
  const int vectors = kSimtBlock / kVectorElements / (glu + 1);
  const int row = thread / vectors * (2 - glu), col = thread % vectors * kVectorElements * (glu + 1);
  const int second_row = row + 1 - glu, second_col = col + kVectorElements * glu;

  REGS(float, first, [kVectorElements]);
  REGS(float, second, [kVectorElements]);
  UNROLL
  for (int i = 0; i < kVectorElements; i++) first[i] = second[i] = 0.0f;
  for (int k = 0; k < p.k; k += kSimtK) {
    copy_transposed(shared.in, p.in, p.in_stride, first_row, rows, k, p.k);
    copy_transposed(shared.weight, p.weight, p.weight_stride, first_col, p.n, k, p.k);
    __syncthreads();
    for (int i = 0; i < kSimtK; i++) {
      UNROLL
      for (int j = 0; j < kVectorElements; j++) {
        first[j] += shared.in[i][row] * shared.weight[i][col + j];
        second[j] += shared.in[i][second_row] * shared.weight[i][second_col + j];
      }
    }
    __syncthreads();
  }
  const bool inside = first_col + col < p.n;
  if (inside && first_row + row < rows)
    finish(first, second, p.epilogue, first_row + row, first_col + col, p.n);
  if (!glu && inside && first_row + second_row < rows) {
    finish(second, second, p.epilogue, first_row + second_row, first_col + col, p.n);
  }
}

}  // namespace padless::cuda
