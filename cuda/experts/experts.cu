// Routing of rows to experts, and the sum of what the experts make of them.
//
// route_experts: a thread a row takes the softmax over the experts and its largest scores; then a block an
// expert lists the rows that chose it, in rising order, by a prefix sum over all choices. No host and no
// atomics take part: the number of an expert's rows stays on the device, where pack_rows and linear read it.
//
// add_expert: a warp a listed row adds the expert's result, times its weight, to the row's f32 sum. Experts
// run one after another, so that a row adds up in the order of its experts, whatever else is in the batch.
#include <cfloat>

#include "cuda/checks.h"
#include "cuda/padless_experts.h"
#include "cuda/tile/block_scan.cuh"
#include "cuda/tile/row_count.cuh"
#include "cuda/tile/stream_order.cuh"
#include "cuda/tile/vector.cuh"

namespace padless::cuda {
namespace {

constexpr int kThreads = 256, kRowsInBlock = kThreads / 32;

struct RouteParams {
  const float* logits;  // [rows, experts]
  int64_t stride;
  RowCount rows;
  int experts, chosen;
  int32_t* choices;  // [rows, chosen]
  float* scores;     // [rows, chosen]
  int32_t* list;     // [experts, rows]
  float* weights;    // [experts, rows]
  int32_t* counts;   // [experts]
};

// Whether the expert is one of the first `picked` choices of the row.
DEVICE bool is_taken(const int32_t* choices, int picked, int expert) {
  for (int i = 0; i < picked; i++) {
    if (choices[i] == expert) return true;
  }
  return false;
}

__global__ void __launch_bounds__(kThreads) choose_experts_kernel(const RouteParams p) {
  wait_for_stream();
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= p.rows.get()) return;
  const float* logits = p.logits + row * p.stride;
  float largest = -FLT_MAX, sum = 0.0f;
  for (int e = 0; e < p.experts; e++) largest = fmaxf(largest, logits[e]);
  for (int e = 0; e < p.experts; e++) sum += expf(logits[e] - largest);
  int32_t* choices = p.choices + row * p.chosen;
  for (int pick = 0; pick < p.chosen; pick++) {
    int best = -1;
    for (int e = 0; e < p.experts; e++) {
      if (!is_taken(choices, pick, e) && (best < 0 || logits[e] > logits[best])) best = e;
    }
    choices[pick] = best;
    p.scores[row * p.chosen + pick] = expf(logits[best] - largest) / sum;
  }
}

using Storage = BlockScanStorage<kThreads>;

// A row chooses an expert once at most, so an expert's list has room for all rows.
__global__ void __launch_bounds__(kThreads) list_rows_kernel(const RouteParams p) {
  SHARED_STORAGE(Storage, shared);
  wait_for_stream();
  const int expert = static_cast<int>(blockIdx.x);
  const int64_t choices = static_cast<int64_t>(p.rows.get()) * p.chosen;
  const int64_t own = static_cast<int64_t>(expert) * p.rows.capacity;
  int carry = 0;
  for (int64_t first = 0; first < choices; first += kThreads) {
    const int64_t i = first + threadIdx.x;
    const bool mine = i < choices && p.choices[i] == expert;
    const BlockScan scan = block_exclusive_scan<kThreads>(mine ? 1 : 0, shared);
    if (mine) {
      const int64_t place = own + carry + scan.exclusive;
      p.list[place] = static_cast<int32_t>(i / p.chosen);
      p.weights[place] = p.scores[i];
    }
    carry += scan.total;
    __syncthreads();  // the scan's storage is free again
  }
  if (threadIdx.x == 0) p.counts[expert] = carry;
}

template <class T>
struct StartParams {
  const T* residual;  // [rows, cols]
  const float* bias;  // [cols], or null
  float* sum;         // [rows, cols]
  int64_t residual_stride, sum_stride;
  RowCount rows;
  int cols;
  bool whole;
};

template <class T>
__global__ void __launch_bounds__(kThreads) start_experts_kernel(const StartParams<T> p) {
  wait_for_stream();
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsInBlock + threadIdx.x / 32;
  if (row >= p.rows.get()) return;
  for (int column = static_cast<int>(threadIdx.x) % 32 * kVectorElements; column < p.cols;
       column += 32 * kVectorElements) {
    float values[kVectorElements];
    load_vector(values, p.residual + row * p.residual_stride + column, p.cols - column, p.whole);
    UNROLL
    for (int i = 0; i < kVectorElements; i++) {
      if (p.bias != nullptr && column + i < p.cols) values[i] += p.bias[column + i];
    }
    store_vector(p.sum + row * p.sum_stride + column, values, p.cols - column, p.whole);
  }
}

template <class T>
struct AddParams {
  const T* result;       // [capacity, cols], row i for the i-th listed row
  const int32_t* list;   // [capacity]
  const float* weights;  // [capacity]
  const int32_t* count;  // of listed rows
  float* sum;            // [rows, cols]
  int64_t result_stride, sum_stride;
  int32_t rows;
  int cols;
  bool whole;
};

// One block an SM is all that is asked for: with more in mind, ptxas spills.
template <class T>
__global__ void __launch_bounds__(kThreads, 1) add_expert_kernel(const AddParams<T> p) {
  wait_for_stream();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kRowsInBlock + threadIdx.x / 32;
  if (i >= min(*p.count, p.rows)) return;
  const T* result = p.result + i * p.result_stride;
  float* sum = p.sum + static_cast<int64_t>(p.list[i]) * p.sum_stride;
  const float weight = p.weights[i];
  for (int column = static_cast<int>(threadIdx.x) % 32 * kVectorElements; column < p.cols;
       column += 32 * kVectorElements) {
    float values[kVectorElements], sums[kVectorElements];
    load_vector(values, result + column, p.cols - column, p.whole);
    load_vector(sums, sum + column, p.cols - column, p.whole);
    UNROLL
    for (int j = 0; j < kVectorElements; j++) sums[j] += weight * values[j];
    store_vector(sum + column, sums, p.cols - column, p.whole);
  }
}

bool is_whole(const Matrix& rows, const Matrix& sum) {
  return sum.cols % kVectorElements == 0 && has_aligned_rows(rows) && has_aligned_rows(sum);
}

}  // namespace

Status route_experts(const RouteExpertsArgs& args, LaunchStream stream) {
  const int64_t rows = args.logits.rows, experts = args.logits.cols;
  PADLESS_RETURN_IF_ERROR(check_matrix(args.logits, rows, experts, "logits"));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.logits, DType::kF32, "logits"));
  PADLESS_CHECK(args.chosen > 0 && args.chosen <= experts, Code::kInvalidArgument, "chosen", args.chosen,
                " of ", experts, " experts");
  PADLESS_CHECK(args.counts != nullptr && (rows == 0 || (args.choices != nullptr && args.scores != nullptr &&
                                                         args.list != nullptr && args.weights != nullptr)),
                Code::kInvalidArgument, "list", "an array of the routing is missing");
  const RouteParams params{static_cast<const float*>(args.logits.data),
                           args.logits.stride,
                           {static_cast<int32_t>(rows), args.rows_on_device},
                           static_cast<int>(experts),
                           static_cast<int>(args.chosen),
                           args.choices,
                           args.scores,
                           args.list,
                           args.weights,
                           args.counts};
  if (rows > 0) {
    PADLESS_RETURN_IF_ERROR(
        launch(choose_experts_kernel,
               {.grid = grid_of(divide_up(rows, kThreads)), .block = kThreads, .stream = stream}, params));
  }
  return launch(
      list_rows_kernel,
      {.grid = grid_of(experts), .block = kThreads, .shared_bytes = sizeof(Storage), .stream = stream},
      params);
}

Status start_experts(const StartExpertsArgs& args, LaunchStream stream) {
  const int64_t rows = args.sum.rows, cols = args.sum.cols;
  PADLESS_RETURN_IF_ERROR(check_matrix(args.residual, rows, cols, "residual"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.sum, rows, cols, "sum"));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.sum, DType::kF32, "sum"));
  if (rows == 0) return Status::ok();
  return with_storage(args.residual.dtype, [&]<class T>() {
    const StartParams<T> params{elements<const T>(args.residual),
                                args.bias,
                                elements<float>(args.sum),
                                args.residual.stride,
                                args.sum.stride,
                                {static_cast<int32_t>(rows), args.rows_on_device},
                                static_cast<int>(cols),
                                is_whole(args.residual, args.sum)};
    return launch(start_experts_kernel<T>,
                  {.grid = grid_of(divide_up(rows, kRowsInBlock)), .block = kThreads, .stream = stream},
                  params);
  });
}

Status add_expert(const AddExpertArgs& args, LaunchStream stream) {
  const int64_t rows = args.sum.rows, cols = args.sum.cols;
  PADLESS_RETURN_IF_ERROR(check_matrix(args.result, rows, cols, "result"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.sum, rows, cols, "sum"));
  PADLESS_RETURN_IF_ERROR(check_dtype(args.sum, DType::kF32, "sum"));
  PADLESS_CHECK(args.list != nullptr && args.weights != nullptr && args.count != nullptr,
                Code::kInvalidArgument, "list", "the list of the expert's rows is missing");
  if (rows == 0) return Status::ok();
  return with_storage(args.result.dtype, [&]<class T>() {
    const AddParams<T> params{elements<const T>(args.result),
                              args.list,
                              args.weights,
                              args.count,
                              elements<float>(args.sum),
                              args.result.stride,
                              args.sum.stride,
                              static_cast<int32_t>(rows),
                              static_cast<int>(cols),
                              is_whole(args.result, args.sum)};
    return launch(add_expert_kernel<T>,
                  {.grid = grid_of(divide_up(rows, kRowsInBlock)), .block = kThreads, .stream = stream},
                  params);
  });
}

}  // namespace padless::cuda
