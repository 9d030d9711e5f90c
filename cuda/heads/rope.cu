// Rotary position embedding (RoFormer, arXiv:2104.09864) of each head of packed rows, in place.
//
// With r = rotary_dim / 2, the pair of columns (i, i + r), or (2 i, 2 i + 1) if interleaved, turns by the
// angle whose cosine and sine the table holds. A thread turns eight pairs; heads of one row find its table
// row in L1. Each element of the rotated columns is read once and written once.
#include "cuda/checks.h"
#include "cuda/padless_cuda.h"
#include "cuda/tile/row_count.cuh"
#include "cuda/tile/stream_order.cuh"
#include "cuda/tile/vector.cuh"

namespace padless::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
struct Params {
  T* data;             // [rows, heads * head_dim]
  const float* table;  // [rows, 2 * pairs]: cosines, then sines
  int64_t data_stride, table_stride;
  RowCount rows;
  int heads, head_dim, pairs;
  bool interleaved;
  bool whole;  // all vectors below are 16-byte aligned, and pairs is a multiple of eight
};

template <class T>
__global__ void __launch_bounds__(kThreads) rope_kernel(const Params<T> p) {
  wait_for_stream();
  const int chunks = (p.pairs + kVectorElements - 1) / kVectorElements;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t item = index / chunks, row = item / p.heads;
  if (row >= p.rows.get()) return;
  const int pair = static_cast<int>(index % chunks) * kVectorElements, count = p.pairs - pair;
  T* head = p.data + row * p.data_stride + item % p.heads * p.head_dim;
  const float* angles = p.table + row * p.table_stride + pair;

  float cosine[kVectorElements], sine[kVectorElements], first[kVectorElements], second[kVectorElements];
  load_vector(cosine, angles, count, p.whole);
  load_vector(sine, angles + p.pairs, count, p.whole);
  // Halves: the first of each pair, and the second. Interleaved: pairs 0 to 3, and pairs 4 to 7.
  T* const low = head + (p.interleaved ? 2 * pair : pair);
  T* const high = p.interleaved ? low + kVectorElements : low + p.pairs;
  const int low_count = p.interleaved ? 2 * count : count,
            high_count = p.interleaved ? 2 * count - kVectorElements : count;
  load_vector(first, low, low_count, p.whole);
  load_vector(second, high, high_count, p.whole);
  if (p.interleaved) {
    UNROLL
    for (int i = 0; i < kVectorElements; i += 2) {
      const float x = first[i], y = first[i + 1], z = second[i], w = second[i + 1];
      first[i] = x * cosine[i / 2] - y * sine[i / 2];
      first[i + 1] = y * cosine[i / 2] + x * sine[i / 2];
      second[i] = z * cosine[4 + i / 2] - w * sine[4 + i / 2];
      second[i + 1] = w * cosine[4 + i / 2] + z * sine[4 + i / 2];
    }
  } else {
    UNROLL
    for (int i = 0; i < kVectorElements; i++) {
      const float x = first[i], y = second[i];
      first[i] = x * cosine[i] - y * sine[i];
      second[i] = y * cosine[i] + x * sine[i];
    }
  }
  store_vector(low, first, low_count, p.whole);
  store_vector(high, second, high_count, p.whole);
}

template <class T>
Status enqueue(const RopeArgs& args, LaunchStream stream) {
  const int64_t pairs = args.rotary_dim / 2;
  const bool whole = pairs % kVectorElements == 0 && args.head_dim % kVectorElements == 0 &&
                     has_aligned_rows(args.data) && has_aligned_rows(args.table);
  const Params<T> params{elements<T>(args.data),
                         elements<const float>(args.table),
                         args.data.stride,
                         args.table.stride,
                         {static_cast<int32_t>(args.data.rows), args.rows_on_device},
                         static_cast<int>(args.heads),
                         static_cast<int>(args.head_dim),
                         static_cast<int>(pairs),
                         args.interleaved,
                         whole};
  const int64_t threads = args.data.rows * args.heads * divide_up(pairs, kVectorElements);
  PADLESS_RETURN_IF_ERROR(check_grid(divide_up(threads, kThreads), "data"));
  return launch(rope_kernel<T>,
                {.grid = grid_of(divide_up(threads, kThreads)), .block = kThreads, .stream = stream}, params);
}

}  // namespace

Status rope(const RopeArgs& args, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check_heads(args.heads, args.head_dim));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.data, args.data.rows, args.heads * args.head_dim, "data"));
  PADLESS_CHECK(args.rotary_dim >= 0 && args.rotary_dim % 2 == 0 && args.rotary_dim <= args.head_dim,
                Code::kInvalidArgument, "rotary_dim", "rotary_dim ", args.rotary_dim,
                " must be even, and at most the head dim ", args.head_dim);
  PADLESS_RETURN_IF_ERROR(check_matrix(args.table, args.data.rows, args.rotary_dim, "table"));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.table, DType::kF32, "table"));
  if (args.data.rows == 0 || args.rotary_dim == 0) return Status::ok();
  return with_storage(args.data.dtype, [&]<class T>() { return enqueue<T>(args, stream); });
}

}  // namespace padless::cuda
