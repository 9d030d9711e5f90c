#include "cuda/bench/unfused.h"

#include "cuda/checks.h"
#include "cuda/gemm/epilogue.cuh"
#include "cuda/tile/row.cuh"

namespace padless::cuda::bench {
namespace {

constexpr int kThreads = 256, kWarpsInBlock = kThreads / 32;

__global__ void __launch_bounds__(kThreads)
    add_bias_kernel(bf16* data, const float* bias, int64_t vectors, int cols, Activation activation) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= vectors) return;
  bf16* const at = data + index * kVectorElements;
  const int column = static_cast<int>(index * kVectorElements % cols);
  float values[kVectorElements];
  unpack(values, load_aligned(at));
  UNROLL
  for (int i = 0; i < kVectorElements; i++)
    values[i] = activate<bf16>(activation, values[i] + bias[column + i]);
  store_aligned(at, pack<bf16>(values));
}

__global__ void __launch_bounds__(kThreads)
    add_matrix_kernel(bf16* data, const bf16* other, int64_t vectors) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= vectors) return;
  float values[kVectorElements], others[kVectorElements];
  unpack(values, load_aligned(data + index * kVectorElements));
  unpack(others, load_aligned(other + index * kVectorElements));
  UNROLL
  for (int i = 0; i < kVectorElements; i++) values[i] += others[i];
  store_aligned(data + index * kVectorElements, pack<bf16>(values));
}

// A warp a row; the row is read three times, by then from L1.
__global__ void __launch_bounds__(kThreads)
    softmax_rows_kernel(bf16* scores, int64_t rows, int cols, int keys, float scale) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarpsInBlock + threadIdx.x / 32;
  if (row >= rows) return;
  bf16* const data = scores + row * cols;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float maximum = -INFINITY, sum = 0.0f;
  for (int i = lane; i < keys; i += 32) maximum = fmaxf(maximum, scale * static_cast<float>(data[i]));
  UNROLL
  for (int mask = 16; mask > 0; mask /= 2) maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, mask));
  for (int i = lane; i < keys; i += 32) sum += expf(scale * static_cast<float>(data[i]) - maximum);
  const float inverse = 1.0f / warp_sum(sum);
  for (int i = lane; i < cols; i += 32) {
    const float p = i < keys ? expf(scale * static_cast<float>(data[i]) - maximum) * inverse : 0.0f;
    data[i] = static_cast<bf16>(p);
  }
}

Status check_dense(const Matrix& data) {
  PADLESS_CHECK(data.dtype == DType::kBF16 && data.stride == data.cols && data.cols % kVectorElements == 0,
                Code::kInvalidArgument, "data", "not dense bf16 of a multiple of eight columns");
  return Status::ok();
}

}  // namespace

Status add_bias(const Matrix& data, const float* bias, Activation activation, cudaStream_t stream) {
  PADLESS_RETURN_IF_ERROR(check_dense(data));
  const int64_t vectors = data.rows * data.cols / kVectorElements;
  return launch(add_bias_kernel,
                {.grid = grid_of(divide_up(vectors, kThreads)), .block = kThreads, .stream = stream},
                elements<bf16>(data), bias, vectors, static_cast<int>(data.cols), activation);
}

Status add_matrix(const Matrix& data, const Matrix& other, cudaStream_t stream) {
  PADLESS_RETURN_IF_ERROR(check_dense(data));
  PADLESS_RETURN_IF_ERROR(check_dense(other));
  const int64_t vectors = data.rows * data.cols / kVectorElements;
  return launch(add_matrix_kernel,
                {.grid = grid_of(divide_up(vectors, kThreads)), .block = kThreads, .stream = stream},
                elements<bf16>(data), elements<const bf16>(other), vectors);
}

Status softmax_rows(const Matrix& scores, int64_t keys, float scale, cudaStream_t stream) {
  PADLESS_RETURN_IF_ERROR(check_dense(scores));
  return launch(softmax_rows_kernel,
                {.grid = grid_of(divide_up(scores.rows, kWarpsInBlock)), .block = kThreads, .stream = stream},
                elements<bf16>(scores), scores.rows, static_cast<int>(scores.cols), static_cast<int>(keys),
                scale);
}

}  // namespace padless::cuda::bench
