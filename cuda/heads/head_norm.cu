// RMS norm of each head of packed rows, in place:  x / sqrt(mean(x^2) + eps) * gamma.
//
// A head is held by the fewest lanes (a power of two) that have eight columns each, so that a warp works on
// several heads at once; each element is read once and written once.
#include "cuda/checks.h"
#include "cuda/padless_cuda.h"
#include "cuda/tile/row_count.cuh"
#include "cuda/tile/stream_order.cuh"
#include "cuda/tile/vector.cuh"

namespace padless::cuda {
namespace {

constexpr int kThreads = 128;

template <class T>
struct Params {
  T* data;  // [rows, heads * head_dim]
  int64_t stride;
  const float* gamma;  // [head_dim]
  float eps;
  RowCount rows;
  int heads, head_dim;
  bool whole;  // all heads and gamma start at 16-byte boundaries, and head_dim is a multiple of eight
};

template <class T, int kLanes>
__global__ void __launch_bounds__(kThreads) head_norm_kernel(const Params<T> p) {
  wait_for_stream();
  const int64_t item = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kLanes;
  const int64_t row = item / p.heads;
  const bool exists = row < p.rows.get();  // lanes without a head still take part in the sum
  const int column = static_cast<int>(threadIdx.x) % kLanes * kVectorElements,
            left = exists ? p.head_dim - column : 0;
  T* head = p.data + (exists ? row * p.stride + item % p.heads * p.head_dim : 0);

  float values[kVectorElements] = {}, gamma[kVectorElements] = {};
  if (left > 0) {
    if (p.whole) {
      unpack(values, load_aligned(head + column));
      unpack(gamma, load_aligned(p.gamma + column));
    } else {
      load_elements(values, head + column, left);
      load_elements(gamma, p.gamma + column, left);
    }
  }
  float squares = 0.0f;
  UNROLL
  for (int i = 0; i < kVectorElements; i++) squares += values[i] * values[i];
  UNROLL
  for (int mask = kLanes / 2; mask > 0; mask /= 2) squares += __shfl_xor_sync(~0u, squares, mask);
  if (left <= 0) return;
  const float scale = 1.0f / sqrtf(squares / static_cast<float>(p.head_dim) + p.eps);
  UNROLL
  for (int i = 0; i < kVectorElements; i++) values[i] *= scale * gamma[i];
  if (p.whole)
    store_aligned(head + column, pack<T>(values));
  else
    store_elements(head + column, values, left);
}

template <class T, int kLanes>
Status enqueue_lanes(const HeadNormArgs& args, LaunchStream stream) {
  const bool whole =
      args.head_dim % kVectorElements == 0 && has_aligned_rows(args.data) && is_aligned_16(args.gamma);
  const Params<T> params{elements<T>(args.data),
                         args.data.stride,
                         args.gamma,
                         args.eps,
                         {static_cast<int32_t>(args.data.rows), args.rows_on_device},
                         static_cast<int>(args.heads),
                         static_cast<int>(args.head_dim),
                         whole};
  const int64_t blocks = divide_up(args.data.rows * args.heads, kThreads / kLanes);
  PADLESS_RETURN_IF_ERROR(check_grid(blocks, "data"));
  return launch(head_norm_kernel<T, kLanes>, {.grid = grid_of(blocks), .block = kThreads, .stream = stream},
                params);
}

template <class T>
Status enqueue(const HeadNormArgs& args, LaunchStream stream) {
  if (args.head_dim <= 4 * kVectorElements) return enqueue_lanes<T, 4>(args, stream);
  if (args.head_dim <= 8 * kVectorElements) return enqueue_lanes<T, 8>(args, stream);
  if (args.head_dim <= 16 * kVectorElements) return enqueue_lanes<T, 16>(args, stream);
  return enqueue_lanes<T, 32>(args, stream);
}

}  // namespace

Status head_norm(const HeadNormArgs& args, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check_heads(args.heads, args.head_dim));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.data, args.data.rows, args.heads * args.head_dim, "data"));
  PADLESS_CHECK(args.gamma != nullptr, Code::kInvalidArgument, "gamma", "gamma is missing");
  PADLESS_CHECK(args.head_dim <= kMaxHeadNormDim, Code::kUnsupported, "head_dim", "a norm over heads of ",
                args.head_dim, " columns; at most ", kMaxHeadNormDim, " are supported");
  if (args.data.rows == 0) return Status::ok();
  return with_storage(args.data.dtype, [&]<class T>() { return enqueue<T>(args, stream); });
}

}  // namespace padless::cuda
