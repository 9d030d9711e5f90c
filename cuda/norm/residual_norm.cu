// Bias + residual + LayerNorm or RMSNorm over packed rows:  sum = in + bias + residual,
// out = norm(sum) + add.
//
// A row stays in the registers of one warp (up to 1024 columns) or of one block, so it is read once and
// written once: the byte floor. out may be in, residual or add: a row's thread has read its columns before
// it writes them.
#include "cuda/checks.h"
#include "cuda/padless_cuda.h"
#include "cuda/tile/row_count.cuh"
#include "cuda/tile/row_norm.cuh"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda {
namespace {

template <class T>
struct Params {
  const T* in;        // [rows, cols]
  const T* residual;  // [rows, cols], or null
  const float* bias;  // [cols], or null
  const T* add;       // [rows, cols], or null
  T* out;             // [rows, cols]
  T* sum;             // [rows, cols], or null
  int64_t in_stride, residual_stride, add_stride, out_stride, sum_stride;
  RowCount rows;
  int cols;
  bool whole;  // all rows are 16-byte aligned and of a multiple of eight columns
  RowNorm norm;
};

template <class T, int kWarps, int kVectors>
__global__ void __launch_bounds__(kRowThreads<kWarps>) residual_norm_kernel(const Params<T> p) {
  using Storage = RowNormStorage<kWarps>;
  SHARED_STORAGE(Storage, shared);
  wait_for_stream();
  const int64_t index = row_index<kWarps>();
  if (index >= p.rows.get()) return;

  Row<kWarps, kVectors> row;
  load_row(row, p.in + index * p.in_stride, p.cols, p.whole);
  if (p.bias != nullptr) add_row(row, p.bias, p.cols, p.norm.whole);
  if (p.residual != nullptr) add_row(row, p.residual + index * p.residual_stride, p.cols, p.whole);
  if (p.sum != nullptr) store_row(p.sum + index * p.sum_stride, row, p.cols, p.whole);
  normalize_row(row, p.norm, p.cols, shared);
  if (p.add != nullptr) add_row(row, p.add + index * p.add_stride, p.cols, p.whole);
  store_row(p.out + index * p.out_stride, row, p.cols, p.whole);
}

template <class T>
Status enqueue(const ResidualNormArgs& args, LaunchStream stream) {
  const int64_t cols = args.in.cols;
  const bool whole = cols % kVectorElements == 0 && has_aligned_rows(args.in) &&
                     has_aligned_rows(args.residual) && has_aligned_rows(args.add) &&
                     has_aligned_rows(args.out) && has_aligned_rows(args.sum);
  const bool whole_vectors = cols % kVectorElements == 0 && is_aligned_16(args.bias) &&
                             is_aligned_16(args.gamma) && is_aligned_16(args.beta);
  const Params<T> params{elements<const T>(args.in),
                         elements<const T>(args.residual),
                         args.bias,
                         elements<const T>(args.add),
                         elements<T>(args.out),
                         elements<T>(args.sum),
                         args.in.stride,
                         args.residual.stride,
                         args.add.stride,
                         args.out.stride,
                         args.sum.stride,
                         {static_cast<int32_t>(args.in.rows), args.rows_on_device},
                         static_cast<int>(cols),
                         whole,
                         {args.kind, args.gamma, args.beta, args.eps, whole_vectors}};
  return with_row_shape(cols, [&]<int kWarps, int kVectors>() {
    return launch(residual_norm_kernel<T, kWarps, kVectors>,
                  {.grid = grid_of(divide_up(args.in.rows, kRowsPerBlock<kWarps>)),
                   .block = kRowThreads<kWarps>,
                   .shared_bytes = sizeof(RowNormStorage<kWarps>),
                   .stream = stream},
                  params);
  });
}

Status check(const ResidualNormArgs& args) {
  const int64_t rows = args.in.rows, cols = args.in.cols;
  PADLESS_RETURN_IF_ERROR(check_matrix(args.in, rows, cols, "in"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.out, rows, cols, "out"));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.out, args.in.dtype, "out"));
  for (const auto& [matrix, name] :
       {std::pair{&args.residual, "residual"}, std::pair{&args.add, "add"}, std::pair{&args.sum, "sum"}}) {
    if (matrix->data == nullptr) continue;
    PADLESS_RETURN_IF_ERROR(check_matrix(*matrix, rows, cols, name));
    PADLESS_RETURN_IF_ERROR(check_dtype(*matrix, args.in.dtype, name));
  }
  PADLESS_CHECK(args.gamma != nullptr || cols == 0, Code::kInvalidArgument, "gamma", "gamma is missing");
  PADLESS_CHECK(cols <= kMaxNormColumns, Code::kUnsupported, "in", "a norm over ", cols, " columns; at most ",
                kMaxNormColumns, " are supported");
  return Status::ok();
}

}  // namespace

Status residual_norm(const ResidualNormArgs& args, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check(args));
  if (args.in.rows == 0 || args.in.cols == 0) return Status::ok();
  return with_storage(args.in.dtype, [&]<class T>() { return enqueue<T>(args, stream); });
}

}  // namespace padless::cuda
