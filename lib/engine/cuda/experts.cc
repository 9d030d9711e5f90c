#include "lib/engine/cuda/experts.h"

#include <memory>
#include <vector>

#include "cuda/padless_experts.h"
#include "lib/engine/cuda/row_program.h"

namespace padless::cuda {
namespace {

class ExpertsRun {
 public:
  ExpertsRun(CudaQueue& queue, const ExpertsStep& step, const int32_t* rows_on_device,
             const GemmPlanOptions& options)
      : queue_(queue), step_(step), rows_on_device_(rows_on_device), options_(options) {}

  Status run(const Matrix& in, const Matrix& residual, const Matrix& out) {
    const int64_t rows = in.rows;
    const auto experts = static_cast<int64_t>(step_.experts.size());
    PADLESS_RETURN_IF_ERROR(route(in, rows, experts));
    Matrix sum = out;
    if (out.dtype != DType::kF32) PADLESS_RETURN_IF_ERROR(allocate(rows, out.cols, DType::kF32, sum));
    PADLESS_RETURN_IF_ERROR(start(residual, sum));
    Matrix gathered, result;
    PADLESS_RETURN_IF_ERROR(allocate(rows, in.cols, in.dtype, gathered));
    PADLESS_RETURN_IF_ERROR(allocate(rows, out.cols, in.dtype, result));
    for (int64_t e = 0; e < experts; ++e) {
      const int32_t* list = routing_.list + e * rows;
      const int32_t* count = routing_.counts + e;
      // Not overlapping: the products read the count before their turn in the stream.
      PADLESS_RETURN_IF_ERROR(pack_rows({in, gathered, list, count}, queue_.get()));
      PADLESS_RETURN_IF_ERROR(feed_forward(step_.experts[e], gathered, count, result));
      PADLESS_RETURN_IF_ERROR(
          add_expert({result, list, routing_.weights + e * rows, count, sum}, queue_.launches()));
    }
    return sum.data == out.data ? Status::ok() : cast_rows({sum, out, rows_on_device_}, queue_.launches());
  }

 private:
  Result<void*> memory(size_t bytes) {
    Result<std::unique_ptr<Buffer>> buffer = queue_.allocate(bytes);
    if (!buffer.is_ok()) return buffer.status();
    queue_.touch(buffer.value()->data());
    memory_.push_back(buffer.take());
    return memory_.back()->data();
  }

  Status allocate(int64_t rows, int64_t cols, DType dtype, Matrix& matrix) {
    const int64_t stride = (cols + 7) / 8 * 8;
    Result<void*> data = memory(static_cast<size_t>(rows * stride) * dtype_size(dtype));
    if (!data.is_ok()) return data.status();
    matrix = {data.value(), dtype, rows, cols, stride};
    return Status::ok();
  }

  template <class T>
  Status allocate(int64_t count, T*& array) {
    Result<void*> data = memory(static_cast<size_t>(count) * sizeof(T));
    if (!data.is_ok()) return data.status();
    array = static_cast<T*>(data.value());
    return Status::ok();
  }

  /** The router computes in f32 whatever the activations are: a rounded score could choose another expert. */
  Status route(const Matrix& in, int64_t rows, int64_t experts) {
    PADLESS_RETURN_IF_ERROR(allocate(rows, experts, DType::kF32, routing_.logits));
    RowProgram router;
    const Slot from = router.bound(0, in.cols);
    router.steps.push_back(LinearStep{step_.router, from, router.bound(1, experts)});
    const Matrix matrices[] = {in, routing_.logits};
    PADLESS_RETURN_IF_ERROR(
        run_row_program(queue_, router, matrices, rows, rows_on_device_, options_, NormFusion::kNever));
    routing_.chosen = step_.chosen;
    routing_.rows_on_device = rows_on_device_;
    PADLESS_RETURN_IF_ERROR(allocate(rows * step_.chosen, routing_.choices));
    PADLESS_RETURN_IF_ERROR(allocate(rows * step_.chosen, routing_.scores));
    PADLESS_RETURN_IF_ERROR(allocate(rows * experts, routing_.list));
    PADLESS_RETURN_IF_ERROR(allocate(rows * experts, routing_.weights));
    PADLESS_RETURN_IF_ERROR(allocate(experts, routing_.counts));
    return route_experts(routing_, queue_.launches());
  }

  Status start(const Matrix& residual, const Matrix& sum) {
    StartExpertsArgs args;
    args.residual = residual;
    args.sum = sum;
    args.rows_on_device = rows_on_device_;
    if (step_.bias) {
      const Matrix bias = step_.bias->view();
      PADLESS_CHECK(bias.dtype == DType::kF32 && bias.rows * bias.cols == sum.cols, Code::kInvalidArgument,
                    "bias", "a bias of ", bias.rows * bias.cols, " elements for ", sum.cols);
      queue_.touch(bias.data);
      args.bias = static_cast<const float*>(bias.data);
    }
    return start_experts(args, queue_.launches());
  }

  Status feed_forward(const Expert& expert, const Matrix& in, const int32_t* count, const Matrix& out) {
    if (inner_.data == nullptr) {
      PADLESS_RETURN_IF_ERROR(allocate(in.rows, expert.up->out_features(), in.dtype, inner_));
    }
    RowProgram program;
    const Slot from = program.bound(0, in.cols);
    const Slot inner = program.bound(1, inner_.cols);
    const Slot to = program.bound(2, out.cols);
    program.steps.push_back(LinearStep{expert.up, from, inner, kNoSlot, step_.activation});
    program.steps.push_back(LinearStep{expert.down, inner, to});
    const Matrix matrices[] = {in, inner_, out};
    return run_row_program(queue_, program, matrices, in.rows, count, options_, NormFusion::kNever);
  }

  CudaQueue& queue_;
  const ExpertsStep& step_;
  const int32_t* const rows_on_device_;
  const GemmPlanOptions& options_;
  RouteExpertsArgs routing_;
  Matrix inner_;  // of all experts, one after another
  std::vector<std::unique_ptr<Buffer>> memory_;
};

}  // namespace

Status run_experts(CudaQueue& queue, const ExpertsStep& step, const Matrix& in, const Matrix& residual,
                   const Matrix& out, const int32_t* rows_on_device, const GemmPlanOptions& options) {
  PADLESS_RETURN_IF_ERROR(check_experts(step, in.cols, out.cols));
  return ExpertsRun(queue, step, rows_on_device, options).run(in, residual, out);
}

}  // namespace padless::cuda
