// Moves rows:  pack_rows, unpack_rows, gather_rows and cast_rows are one kernel that reads the row `index[i]`
// of `in`, or row i without an index, and writes row i of `out`, once each, in 16-byte vectors.
#include "cuda/checks.h"
#include "cuda/padless_cuda.h"
#include "cuda/tile/row_count.cuh"
#include "cuda/tile/stream_order.cuh"
#include "cuda/tile/vector.cuh"

namespace padless::cuda {
namespace {

constexpr int kThreads = 128, kRowsInBlock = kThreads / 32;

template <class In, class Out>
struct Params {
  const In* in;          // [in_rows, cols]
  Out* out;              // [rows.capacity, cols]
  const int32_t* index;  // [rows.capacity]: clamped to in_rows, negative: see zeros; null: row i is i
  int64_t in_stride, out_stride;
  int32_t in_rows;
  RowCount rows;
  int cols;
  bool whole;
  bool zeros;  // a negative index writes zeros; otherwise it means row 0
};

// A warp a row.
template <class In, class Out>
__global__ void __launch_bounds__(kThreads) gather_rows_kernel(const Params<In, Out> p) {
  wait_for_stream();
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsInBlock + threadIdx.x / 32;
  if (row >= p.rows.get()) return;
  const int32_t index = p.index == nullptr ? static_cast<int32_t>(row) : p.index[row];
  const bool absent = p.in_rows == 0 || (p.zeros && index < 0);
  const In* source = p.in + static_cast<int64_t>(min(max(index, 0), p.in_rows - 1)) * p.in_stride;
  Out* destination = p.out + row * p.out_stride;
  for (int column = static_cast<int>(threadIdx.x) % 32 * kVectorElements; column < p.cols;
       column += 32 * kVectorElements) {
    float values[kVectorElements] = {};
    if (!absent) load_vector(values, source + column, p.cols - column, p.whole);
    store_vector(destination + column, values, p.cols - column, p.whole);
  }
}

Status enqueue(const Matrix& in, const Matrix& out, const int32_t* index, const int32_t* rows_on_device,
               bool zeros, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check_matrix(in, in.rows, in.cols, "in"));
  PADLESS_RETURN_IF_ERROR(check_matrix(out, out.rows, in.cols, "out"));
  if (out.rows == 0 || in.cols == 0) return Status::ok();
  PADLESS_CHECK(in.rows > 0 || zeros || rows_on_device != nullptr, Code::kInvalidArgument, "in",
                "rows of an empty matrix are asked for");
  const bool whole = in.cols % kVectorElements == 0 && has_aligned_rows(in) && has_aligned_rows(out);
  return with_storage(in.dtype, [&]<class In>() {
    return with_storage(out.dtype, [&]<class Out>() {
      const Params<In, Out> params{elements<const In>(in),
                                   elements<Out>(out),
                                   index,
                                   in.stride,
                                   out.stride,
                                   static_cast<int32_t>(in.rows),
                                   {static_cast<int32_t>(out.rows), rows_on_device},
                                   static_cast<int>(in.cols),
                                   whole,
                                   zeros};
      return launch(gather_rows_kernel<In, Out>,
                    {.grid = grid_of(divide_up(out.rows, kRowsInBlock)), .block = kThreads, .stream = stream},
                    params);
    });
  });
}

Status check_index(const int32_t* index, const Matrix& out) {
  PADLESS_CHECK(index != nullptr || out.rows == 0, Code::kInvalidArgument, "index",
                "the row index is missing");
  return Status::ok();
}

}  // namespace

Status pack_rows(const PackRowsArgs& args, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check_index(args.token_index, args.out));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.out, args.in.dtype, "out"));
  return enqueue(args.in, args.out, args.token_index, args.rows_on_device, false, stream);
}

Status unpack_rows(const UnpackRowsArgs& args, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check_index(args.packed_row, args.out));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.out, args.in.dtype, "out"));
  return enqueue(args.in, args.out, args.packed_row, nullptr, true, stream);
}

Status gather_rows(const GatherRowsArgs& args, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check_index(args.indices, args.out));
  return enqueue(args.in, args.out, args.indices, nullptr, true, stream);
}

Status cast_rows(const CastRowsArgs& args, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check_matrix(args.out, args.in.rows, args.in.cols, "out"));
  return enqueue(args.in, args.out, nullptr, args.rows_on_device, false, stream);
}

}  // namespace padless::cuda
