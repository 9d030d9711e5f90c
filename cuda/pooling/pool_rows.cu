// Pooling of the token rows of each sequence to one f32 row.
//
// A block owns one sequence and 256 of its columns: a lane keeps eight columns, the block's warps take tokens
// in turn, and the warps' partial results meet in shared memory in a fixed order. A sequence's result
// therefore depends on its own tokens alone. Each element of the input is read once, in 16-byte vectors.
#include "cuda/checks.h"
#include "cuda/padless_cuda.h"
#include "cuda/tile/row_count.cuh"
#include "cuda/tile/stream_order.cuh"
#include "cuda/tile/token_range.cuh"
#include "cuda/tile/vector.cuh"

namespace padless::cuda {
namespace {

constexpr int kPoolWarps = 8, kPoolColumns = 32 * kVectorElements;

template <class T>
struct Params {
  const T* in;  // [T, cols]
  float* out;   // [B, cols]
  int64_t in_stride, out_stride;
  const int32_t* cu_seqlens;  // [B + 1]
  const int32_t* skip;        // [B], or null
  RowCount sequences;
  int in_rows, cols;
  bool whole;
  PoolMode mode;
};

struct Storage {
  float partial[kPoolWarps][kPoolColumns];
};

// Tokens [first, last) of a sequence that starts at `begin` count.
struct Counted {
  int64_t begin, first, last;
};

DEVICE Counted counted_tokens(const TokenRange& range, const int32_t* skip, int64_t sequence, PoolMode mode) {
  const int64_t begin = range.begin, end = range.end;
  const int64_t skipped = skip == nullptr ? 0 : skip[sequence];
  Counted tokens{begin, min(begin + skipped, end), end};
  if (mode == PoolMode::kCls) {
    if (tokens.first == end) tokens.first = begin;  // every token is skipped: token 0
    tokens.last = min(tokens.first + 1, end);
  } else if (mode == PoolMode::kLastToken && tokens.first < end) {
    tokens.first = end - 1;
  }
  return tokens;
}

DEVICE float token_weight(PoolMode mode, const Counted& tokens, int64_t token) {
  return mode == PoolMode::kWeightedMean ? static_cast<float>(token - tokens.begin + 1) : 1.0f;
}

DEVICE float divisor(PoolMode mode, const Counted& tokens) {
  const float count = static_cast<float>(max(tokens.last - tokens.first, int64_t{1}));
  if (mode == PoolMode::kMean) return count;
  if (mode == PoolMode::kMeanSqrtLength) return sqrtf(count);
  if (mode != PoolMode::kWeightedMean) return 1.0f;
  // Positions first + 1 to last, summed as integers.
  const int64_t low = tokens.first - tokens.begin, high = tokens.last - tokens.begin;
  return static_cast<float>(max((high * (high + 1) - low * (low + 1)) / 2, int64_t{1}));
}

// A maximum that keeps NaN.
DEVICE float max_or_nan(float a, float b) { return a >= b || a != a ? a : b; }

template <class T>
__global__ void __launch_bounds__(32 * kPoolWarps) pool_rows_kernel(const Params<T> p) {
  SHARED_STORAGE(Storage, shared);
  wait_for_stream();
  const int64_t sequence = blockIdx.x;
  if (sequence >= p.sequences.get()) return;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int first_column = static_cast<int>(blockIdx.y) * kPoolColumns;
  const int column = first_column + lane * kVectorElements;
  const Counted tokens =
      counted_tokens(token_range(p.cu_seqlens, sequence, p.in_rows), p.skip, sequence, p.mode);
  const bool maximum = p.mode == PoolMode::kMax, empty = tokens.begin == tokens.last;

  REGS(float, result, [kVectorElements]);
  UNROLL
  for (int i = 0; i < kVectorElements; i++) result[i] = maximum ? -INFINITY : 0.0f;
  for (int64_t token = tokens.first + warp; token < tokens.last; token += kPoolWarps) {
    const T* source = p.in + token * p.in_stride + column;
    REGS(float, values, [kVectorElements]);
    if (!p.whole)
      load_elements(values, source, p.cols - column);
    else if (column < p.cols)
      unpack(values, load_aligned(source));
    else
      continue;
    const float weight = token_weight(p.mode, tokens, token);
    UNROLL
    for (int i = 0; i < kVectorElements; i++) {
      result[i] = maximum ? max_or_nan(result[i], values[i]) : result[i] + weight * values[i];
    }
  }
  UNROLL
  for (int i = 0; i < kVectorElements; i++) shared.partial[warp][i * 32 + lane] = result[i];
  __syncthreads();

  // Thread c finishes element c % 8 of lane c / 8: consecutive threads write consecutive columns.
  const int c = static_cast<int>(threadIdx.x), slot = c % kVectorElements * 32 + c / kVectorElements;
  if (first_column + c >= p.cols) return;
  float total = shared.partial[0][slot];
  for (int w = 1; w < kPoolWarps; w++) {
    const float other = shared.partial[w][slot];
    total = maximum ? max_or_nan(total, other) : total + other;
  }
  p.out[sequence * p.out_stride + first_column + c] = empty ? 0.0f : total / divisor(p.mode, tokens);
}

template <class T>
Status enqueue(const PoolRowsArgs& args, LaunchStream stream) {
  const bool whole = args.in.cols % kVectorElements == 0 && has_aligned_rows(args.in);
  const Params<T> params{elements<const T>(args.in),
                         elements<float>(args.out),
                         args.in.stride,
                         args.out.stride,
                         args.cu_seqlens,
                         args.skip,
                         {static_cast<int32_t>(args.out.rows), args.rows_on_device},
                         static_cast<int>(args.in.rows),
                         static_cast<int>(args.in.cols),
                         whole,
                         args.mode};
  return launch(pool_rows_kernel<T>,
                {.grid = {grid_of(args.out.rows), grid_of(divide_up(args.in.cols, kPoolColumns))},
                 .block = 32 * kPoolWarps,
                 .shared_bytes = sizeof(Storage),
                 .stream = stream},
                params);
}

}  // namespace

Status pool_rows(const PoolRowsArgs& args, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check_matrix(args.in, args.in.rows, args.in.cols, "in"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.out, args.out.rows, args.in.cols, "out"));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.out, DType::kF32, "out"));
  constexpr int64_t kMaxGridY = 65535;
  PADLESS_CHECK(args.in.cols <= kMaxGridY * kPoolColumns, Code::kUnsupported, "in", "pooling of ",
                args.in.cols, " columns; at most ", kMaxGridY * kPoolColumns, " are supported");
  if (args.out.rows == 0 || args.in.cols == 0) return Status::ok();
  PADLESS_CHECK(args.cu_seqlens != nullptr, Code::kInvalidArgument, "cu_seqlens", "cu_seqlens are missing");
  return with_storage(args.in.dtype, [&]<class T>() { return enqueue<T>(args, stream); });
}

}  // namespace padless::cuda
