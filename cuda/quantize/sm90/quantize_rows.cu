// Rows as codes of e4m3 and a scale: read once, held in registers while the largest magnitude is found,
// written as eight codes a lane.
//
// The instruction that makes the codes exists from compute capability 8.9, the products that take them here
// on 9.0 alone.
#include "cuda/checks.h"
#include "cuda/padless_cuda.h"
#include "cuda/tile/row.cuh"
#include "cuda/tile/row_count.cuh"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda {
namespace {

constexpr float kLargestCode = 448.0f;
constexpr float kLeastMagnitude = 0x1p-100f;  // of a row: below, 448 divided by it would be infinite

template <class T>
struct Params {
  const T* in;    // [rows, cols]
  uint8_t* out;   // [rows, cols]: e4m3
  float* scales;  // [rows]
  int64_t in_stride, out_stride;
  RowCount rows;
  int cols;
  bool whole;
};

template <int kWarps>
struct Storage {
  float largest[kWarps];
};

template <class T, int kWarps, int kVectors>
__global__ void __launch_bounds__(kRowThreads<kWarps>) quantize_rows_kernel(const Params<T> p) {
  SHARED_STORAGE(Storage<kWarps>, shared);
  wait_for_stream();
  using R = Row<kWarps, kVectors>;
  const int64_t index = row_index<kWarps>();
  if (index >= p.rows.get()) return;
  R row;
  load_row(row, p.in + index * p.in_stride, p.cols, p.whole);
  float largest = kLeastMagnitude;
  UNROLL
  for (int v = 0; v < kVectors; v++) {
    UNROLL
    for (int i = 0; i < kVectorElements; i++) largest = fmaxf(largest, fabsf(row.values[v][i]));
  }
  largest = row_max<kWarps>(largest, shared.largest);
  const float inverse = kLargestCode / largest;  // 0 for infinity, which times infinity is NaN
  if (R::thread() == 0) p.scales[index] = largest / kLargestCode;
  uint8_t* out = p.out + index * p.out_stride;
  UNROLL
  for (int v = 0; v < kVectors; v++) {
    uint16_t codes[kVectorElements / 2];
    UNROLL
    for (int i = 0; i < kVectorElements / 2; i++) {
      codes[i] =
          ptx::cvt_rn_satfinite_e4m3x2(row.values[v][2 * i] * inverse, row.values[v][2 * i + 1] * inverse);
    }
    const int column = R::column(v);
    if (p.whole && column < p.cols) {
      *reinterpret_cast<uint2*>(out + column) =
          make_uint2(codes[0] | uint32_t{codes[1]} << 16, codes[2] | uint32_t{codes[3]} << 16);
    } else {
      UNROLL
      for (int i = 0; i < kVectorElements; i++) {
        if (column + i < p.cols) out[column + i] = static_cast<uint8_t>(codes[i / 2] >> (8 * (i % 2)));
      }
    }
  }
}

template <class T>
Status enqueue(const QuantizeRowsArgs& args, LaunchStream stream) {
  const bool whole =
      args.in.cols % kVectorElements == 0 && has_aligned_rows(args.in) && has_aligned_rows(args.out);
  const Params<T> params{elements<const T>(args.in),
                         elements<uint8_t>(args.out),
                         args.scales,
                         args.in.stride,
                         args.out.stride,
                         {static_cast<int32_t>(args.in.rows), args.rows_on_device},
                         static_cast<int>(args.in.cols),
                         whole};
  return with_row_shape(args.in.cols, [&]<int kWarps, int kVectors>() {
    return launch(quantize_rows_kernel<T, kWarps, kVectors>,
                  {.grid = grid_of(divide_up(args.in.rows, kRowsPerBlock<kWarps>)),
                   .block = kRowThreads<kWarps>,
                   .shared_bytes = sizeof(Storage<kWarps>),
                   .stream = stream},
                  params);
  });
}

}  // namespace

Status quantize_rows(const QuantizeRowsArgs& args, const DeviceProperties& device, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check_matrix(args.in, args.in.rows, args.in.cols, "in"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.out, args.in.rows, args.in.cols, "out"));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.out, DType::kE4M3, "out"));
  PADLESS_CHECK(args.scales != nullptr || args.in.rows == 0, Code::kInvalidArgument, "scales",
                "there is no place for the rows' scales");
  PADLESS_CHECK(device.runs_sm90a(), Code::kUnsupported, "device",
                "e4m3 needs compute capability 9.0; the device has ", device.compute_capability / 10, ".",
                device.compute_capability % 10);
  if (args.in.rows == 0 || args.in.cols == 0) return Status::ok();
  return with_storage(args.in.dtype, [&]<class T>() { return enqueue<T>(args, stream); });
}

}  // namespace padless::cuda
