// out = in / max(|in|_2, eps) over rows; a row stays in registers.
#include "cuda/checks.h"
#include "cuda/padless_cuda.h"
#include "cuda/tile/row.cuh"
#include "cuda/tile/row_count.cuh"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda {
namespace {

template <class T>
struct Params {
  const T* in;  // [rows, cols]
  T* out;       // [rows, cols]
  int64_t in_stride, out_stride;
  RowCount rows;
  int cols;
  bool whole;
  float eps;
};

template <int kWarps>
struct Storage {
  float squares[kWarps];
};

template <class T, int kWarps, int kVectors>
__global__ void __launch_bounds__(kRowThreads<kWarps>) l2_normalize_kernel(const Params<T> p) {
  SHARED_STORAGE(Storage<kWarps>, shared);
  wait_for_stream();
  const int64_t index = row_index<kWarps>();
  if (index >= p.rows.get()) return;
  Row<kWarps, kVectors> row;
  load_row(row, p.in + index * p.in_stride, p.cols, p.whole);
  float squares = 0.0f;
  UNROLL
  for (int v = 0; v < kVectors; v++) {
    UNROLL
    for (int i = 0; i < kVectorElements; i++) squares += row.values[v][i] * row.values[v][i];
  }
  const float scale = 1.0f / fmaxf(sqrtf(row_sum<kWarps>(squares, shared.squares)), p.eps);
  UNROLL
  for (int v = 0; v < kVectors; v++) {
    UNROLL
    for (int i = 0; i < kVectorElements; i++) row.values[v][i] *= scale;
  }
  store_row(p.out + index * p.out_stride, row, p.cols, p.whole);
}

template <class T>
Status enqueue(const L2NormalizeArgs& args, LaunchStream stream) {
  const bool whole =
      args.in.cols % kVectorElements == 0 && has_aligned_rows(args.in) && has_aligned_rows(args.out);
  const Params<T> params{elements<const T>(args.in),
                         elements<T>(args.out),
                         args.in.stride,
                         args.out.stride,
                         {static_cast<int32_t>(args.in.rows), args.rows_on_device},
                         static_cast<int>(args.in.cols),
                         whole,
                         args.eps};
  return with_row_shape(args.in.cols, [&]<int kWarps, int kVectors>() {
    return launch(l2_normalize_kernel<T, kWarps, kVectors>,
                  {.grid = grid_of(divide_up(args.in.rows, kRowsPerBlock<kWarps>)),
                   .block = kRowThreads<kWarps>,
                   .shared_bytes = sizeof(Storage<kWarps>),
                   .stream = stream},
                  params);
  });
}

}  // namespace

Status l2_normalize(const L2NormalizeArgs& args, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check_matrix(args.in, args.in.rows, args.in.cols, "in"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.out, args.in.rows, args.in.cols, "out"));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.out, args.in.dtype, "out"));
  if (args.in.rows == 0 || args.in.cols == 0) return Status::ok();
  return with_storage(args.in.dtype, [&]<class T>() { return enqueue<T>(args, stream); });
}

}  // namespace padless::cuda
