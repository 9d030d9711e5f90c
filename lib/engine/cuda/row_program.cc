#include "lib/engine/cuda/row_program.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "cuda/padless_linear_norm.h"
#include "lib/core/convert.h"
#include "lib/engine/cuda/experts.h"
#include "lib/engine/cuda/weights.h"

namespace padless::cuda {
namespace {

class RowRun {
 public:
  RowRun(CudaQueue& queue, const RowProgram& program, std::span<const Matrix> matrices, int64_t rows,
         const int32_t* rows_on_device, const GemmPlanOptions& options, NormFusion norm_fusion)
      : queue_(queue),
        program_(program),
        matrices_(matrices),
        rows_(rows),
        rows_on_device_(rows_on_device),
        options_(options),
        norm_fusion_(norm_fusion) {}

  Status run() {
    PADLESS_CHECK(rows_ >= 0, Code::kInvalidArgument, "rows", "a program runs on ", rows_, " rows");
    PADLESS_RETURN_IF_ERROR(bind());
    for (size_t i = 0; i < program_.steps.size(); ++i) {
      const Result<bool> both = run_with_norm(i);
      if (!both.is_ok()) return both.status();
      if (both.value()) {
        ++i;
        continue;
      }
      PADLESS_RETURN_IF_ERROR(
          std::visit([this](const auto& each) { return run_step(each); }, program_.steps[i]));
    }
    return Status::ok();
  }

 private:
  Status bind() {
    for (const RowSlot& slot : program_.slots) {
      Matrix& bound = slots_.emplace_back();
      if (slot.binding < 0) continue;
      PADLESS_CHECK(slot.binding < static_cast<int>(matrices_.size()), Code::kInvalidArgument, "matrices",
                    "the program binds matrix ", slot.binding, "; there are ", matrices_.size());
      bound = matrices_[slot.binding];
      PADLESS_CHECK(bound.rows >= rows_ && bound.cols == slot.cols, Code::kInvalidArgument, "matrices",
                    "matrix ", slot.binding, " is [", bound.rows, ", ", bound.cols, "]; the program needs [",
                    rows_, ", ", slot.cols, "]");
      PADLESS_CHECK(is_float_dtype(bound.dtype), Code::kInvalidArgument, "matrices", "matrix ", slot.binding,
                    " is ", dtype_name(bound.dtype));
      bound.rows = rows_;
      queue_.touch(bound.data);
    }
    return Status::ok();
  }

  bool has(Slot slot) const { return slot >= 0 && slot < static_cast<Slot>(slots_.size()); }

  /** A matrix that an earlier step or the caller has written. */
  Result<Matrix> input(Slot slot) const {
    PADLESS_CHECK(has(slot) && (slots_[slot].data != nullptr || rows_ == 0 ||
                                program_.slots[slot].cols == 0 || program_.slots[slot].binding >= 0),
                  Code::kInvalidArgument, "program", "a step reads slot ", slot,
                  ", which nothing has written");
    Matrix matrix = slots_[slot];
    matrix.rows = rows_;
    matrix.cols = program_.slots[slot].cols;
    return matrix;
  }

  Result<Matrix> output(Slot slot, DType dtype) {
    PADLESS_CHECK(has(slot), Code::kInvalidArgument, "program", "a step writes slot ", slot,
                  ", which is none of the program's");
    Matrix& matrix = slots_[slot];
    if (matrix.data == nullptr && program_.slots[slot].binding < 0) {
      Result<Matrix> made = temporary(program_.slots[slot].cols, dtype);
      if (!made.is_ok()) return made;
      matrix = made.take();
    }
    return matrix;
  }

  /** Lives until the program ends. */
  Result<void*> memory(size_t bytes) {
    Result<std::unique_ptr<Buffer>> memory = queue_.allocate(bytes);
    if (!memory.is_ok()) return memory.status();
    queue_.touch(memory.value()->data());
    memory_.push_back(memory.take());
    return memory_.back()->data();
  }

  /** Lives until the program ends; rows are 16-byte aligned. */
  Result<Matrix> temporary(int64_t cols, DType dtype) {
    const int64_t step = dtype == DType::kE4M3 ? 16 : 8;
    const int64_t stride = (cols + step - 1) / step * step;
    Result<void*> data = memory(static_cast<size_t>(rows_ * stride) * dtype_size(dtype));
    if (!data.is_ok()) return data.status();
    return Matrix{data.value(), dtype, rows_, cols, stride};
  }

  /** The operands of a product as the weight's dtype wants them. */
  Status set_operands(LinearArgs& args, const Matrix& in, const CudaLinearWeight& weight) {
    args.weight = weight.view();
    args.weight_scales = weight.scales();
    if (args.weight.dtype != DType::kE4M3) {
      Result<Matrix> operand = as_dtype(in, args.weight.dtype);
      if (!operand.is_ok()) return operand.status();
      args.in = operand.value();
      return Status::ok();
    }
    Result<Matrix> codes = temporary(in.cols, DType::kE4M3);
    if (!codes.is_ok()) return codes.status();
    Result<void*> scales = memory(static_cast<size_t>(rows_) * sizeof(float));
    if (!scales.is_ok()) return scales.status();
    args.in = codes.value();
    args.in_scales = static_cast<const float*>(scales.value());
    queue_.touch(weight.scales());
    return quantize_rows({in, args.in, static_cast<float*>(scales.value()), rows_on_device_},
                         queue_.context().device->properties(), queue_.launches());
  }

  /** The matrix itself if it has the dtype, otherwise a converted copy. */
  Result<Matrix> as_dtype(const Matrix& matrix, DType dtype) {
    if (matrix.dtype == dtype) return matrix;
    Result<Matrix> copy = temporary(matrix.cols, dtype);
    if (copy.is_ok())
      PADLESS_RETURN_IF_ERROR(cast_rows({matrix, copy.value(), rows_on_device_}, queue_.launches()));
    return copy;
  }

  /** Where a kernel that writes `dtype` writes what is to be in `target`. */
  Result<Matrix> written_as(const Matrix& target, DType dtype) {
    if (target.dtype == dtype) return target;
    return temporary(target.cols, dtype);
  }
  Status finish(const Matrix& written, const Matrix& target) {
    if (written.data == target.data) return Status::ok();
    return cast_rows({written, target, rows_on_device_}, queue_.launches());
  }

  /** An f32 vector of `size` elements, on this device. */
  Result<const float*> vector(const DeviceTensor& tensor, int64_t size, const char* name) {
    const Matrix view = tensor.view();
    PADLESS_CHECK(view.dtype == DType::kF32 && view.rows * view.cols == size, Code::kInvalidArgument, name,
                  name, " is ", dtype_name(view.dtype), " [", view.rows * view.cols, "]; needed is f32 [",
                  size, "]");
    queue_.touch(view.data);
    return static_cast<const float*>(view.data);
  }

  Status run_step(const LinearStep& step) {
    const auto* weight = dynamic_cast<const CudaLinearWeight*>(step.weight.get());
    PADLESS_CHECK(weight != nullptr, Code::kInvalidArgument, "weight",
                  "the weight is missing, or was packed for another device");
    PADLESS_CHECK(step.in != step.out, Code::kInvalidArgument, "program",
                  "a product cannot write to its own input");
    Result<Matrix> in = input(step.in);
    if (!in.is_ok()) return in.status();
    DType dtype = weight->view().dtype;
    if (dtype == DType::kE4M3) dtype = in.value().dtype == DType::kF16 ? DType::kF16 : DType::kBF16;
    // A product of f32, such as a head's, leaves f32.
    Result<Matrix> out = output(step.out, dtype == DType::kF32 ? dtype : in.value().dtype);
    if (!out.is_ok()) return out.status();

    LinearArgs args;
    args.rows_on_device = rows_on_device_;
    PADLESS_RETURN_IF_ERROR(set_operands(args, in.value(), *weight));
    args.bias = weight->bias();
    args.activation = step.activation;
    args.glu = weight->glu();
    args.residual_first = step.residual_first;
    if (step.residual != kNoSlot) {
      Result<Matrix> residual = input(step.residual);
      if (!residual.is_ok()) return residual.status();
      residual = as_dtype(residual.value(), dtype);
      if (!residual.is_ok()) return residual.status();
      args.residual = residual.value();
    }
    const bool direct = out.value().dtype == dtype || out.value().dtype == DType::kF32;
    Result<Matrix> written = direct ? out : temporary(out.value().cols, dtype);
    if (!written.is_ok()) return written.status();
    args.out = written.value();

    const GemmPlan plan = plan_gemm(args, queue_.context().device->properties(), options_);
    void* workspace = nullptr;
    if (const size_t bytes = linear_workspace_bytes(args, plan); bytes > 0) {
      Result<void*> made = memory(bytes);
      if (!made.is_ok()) return made.status();
      workspace = made.value();
    }
    queue_.touch(weight->view().data);
    queue_.touch(weight->bias());
    PADLESS_RETURN_IF_ERROR(linear(args, plan, workspace, queue_.launches()));
    return finish(args.out, out.value());
  }

  /** Of a norm of `cols` columns. */
  template <class Args>
  Status set_norm(Args& args, const NormStep& step, int64_t cols) {
    PADLESS_CHECK(step.gamma != nullptr, Code::kInvalidArgument, "gamma", "a norm without gamma");
    Result<const float*> gamma = vector(*step.gamma, cols, "gamma");
    if (!gamma.is_ok()) return gamma.status();
    args.gamma = gamma.value();
    if (step.beta) {
      Result<const float*> beta = vector(*step.beta, cols, "beta");
      if (!beta.is_ok()) return beta.status();
      args.beta = beta.value();
    }
    args.kind = step.kind;
    args.eps = step.eps;
    return Status::ok();
  }

  /** Whether nothing but a residual stands between the product and the norm, and all is in the same 16 bits.
   */
  bool can_join(const LinearStep& linear, const NormStep& norm) const {
    const auto* const weight = dynamic_cast<const CudaLinearWeight*>(linear.weight.get());
    if (weight == nullptr || weight->glu() || linear.activation != Activation::kNone) return false;
    if (norm.in != linear.out || norm.residual != kNoSlot || norm.add != kNoSlot) return false;
    if (linear.out == linear.in || norm.out == linear.in) return false;
    const DType dtype = weight->view().dtype;
    return (dtype == DType::kBF16 || dtype == DType::kF16) &&
           std::ranges::all_of(std::array{linear.in, linear.residual, linear.out, norm.out}, [&](Slot slot) {
             return !has(slot) || slots_[slot].data == nullptr || slots_[slot].dtype == dtype;
           });
  }

  /** Runs steps `index` and the next as one kernel if they are a product and the norm of its rows, and that
   * is what is planned: whether it did. */
  Result<bool> run_with_norm(size_t index) {
    if (norm_fusion_ == NormFusion::kNever || index + 1 >= program_.steps.size()) return false;
    const auto* const linear = std::get_if<LinearStep>(&program_.steps[index]);
    const auto* const norm = std::get_if<NormStep>(&program_.steps[index + 1]);
    if (linear == nullptr || norm == nullptr || !can_join(*linear, *norm)) return false;
    const auto& weight = dynamic_cast<const CudaLinearWeight&>(*linear->weight);
    LinearNormArgs args;
    args.rows_on_device = rows_on_device_;
    args.weight = weight.view();
    args.bias = weight.bias();
    for (const auto& [slot, operand] :
         {std::pair{linear->in, &args.in}, std::pair{linear->residual, &args.residual}}) {
      if (slot == kNoSlot) continue;
      Result<Matrix> matrix = input(slot);
      if (!matrix.is_ok()) return matrix.status();
      *operand = matrix.value();
    }
    const Slot sum = norm->out != linear->out ? linear->out : kNoSlot;
    for (const auto& [slot, result] : {std::pair{norm->out, &args.out}, std::pair{sum, &args.sum}}) {
      if (slot == kNoSlot) continue;
      Result<Matrix> matrix = output(slot, args.weight.dtype);
      if (!matrix.is_ok()) return matrix.status();
      *result = matrix.value();
    }
    const LinearNormPlan plan =
        plan_linear_norm(args, queue_.context().device->properties(), options_, norm_fusion_);
    if (!plan.fuses()) return false;
    PADLESS_RETURN_IF_ERROR(set_norm(args, *norm, args.out.cols));
    queue_.touch(args.weight.data);
    queue_.touch(args.bias);
    PADLESS_RETURN_IF_ERROR(linear_norm(args, plan, queue_.launches()));
    return true;
  }

  Status run_step(const NormStep& step) {
    Result<Matrix> in = input(step.in);
    if (!in.is_ok()) return in.status();
    const DType dtype = in.value().dtype;
    ResidualNormArgs args;
    args.rows_on_device = rows_on_device_;
    args.in = in.value();
    for (const auto& [slot, operand] :
         {std::pair{step.residual, &args.residual}, std::pair{step.add, &args.add}}) {
      if (slot == kNoSlot) continue;
      Result<Matrix> matrix = input(slot);
      if (!matrix.is_ok()) return matrix.status();
      matrix = as_dtype(matrix.value(), dtype);
      if (!matrix.is_ok()) return matrix.status();
      *operand = matrix.value();
    }
    PADLESS_RETURN_IF_ERROR(set_norm(args, step, args.in.cols));
    Result<Matrix> out = output(step.out, dtype);
    if (!out.is_ok()) return out.status();
    Result<Matrix> written = written_as(out.value(), dtype);
    if (!written.is_ok()) return written.status();
    args.out = written.value();
    PADLESS_RETURN_IF_ERROR(residual_norm(args, queue_.launches()));
    return finish(args.out, out.value());
  }

  Status run_step(const L2NormalizeStep& step) {
    Result<Matrix> in = input(step.in);
    if (!in.is_ok()) return in.status();
    Result<Matrix> out = output(step.out, in.value().dtype);
    if (!out.is_ok()) return out.status();
    Result<Matrix> written = written_as(out.value(), in.value().dtype);
    if (!written.is_ok()) return written.status();
    PADLESS_RETURN_IF_ERROR(l2_normalize(
        {.in = in.value(), .out = written.value(), .rows_on_device = rows_on_device_}, queue_.launches()));
    return finish(written.value(), out.value());
  }

  /** The columns of `heads` heads from `first` on. */
  Result<Matrix> heads_of(Slot slot, int64_t first, int64_t heads, int64_t head_dim) const {
    Result<Matrix> data = input(slot);
    if (!data.is_ok()) return data;
    PADLESS_CHECK(first >= 0 && heads >= 0 && head_dim > 0 && heads <= (data.value().cols - first) / head_dim,
                  Code::kInvalidArgument, "program", heads, " heads of ", head_dim, " from column ", first,
                  " on do not fit into ", data.value().cols, " columns");
    return data.value().columns(first, heads * head_dim);
  }

  Status run_step(const HeadNormStep& step) {
    Result<Matrix> data = heads_of(step.data, step.first_column, step.heads, step.head_dim);
    if (!data.is_ok()) return data.status();
    PADLESS_CHECK(step.gamma != nullptr, Code::kInvalidArgument, "gamma", "a head norm without gamma");
    Result<const float*> gamma = vector(*step.gamma, step.head_dim, "gamma");
    if (!gamma.is_ok()) return gamma.status();
    return head_norm({.data = data.value(),
                      .heads = step.heads,
                      .head_dim = step.head_dim,
                      .gamma = gamma.value(),
                      .eps = step.eps,
                      .rows_on_device = rows_on_device_},
                     queue_.launches());
  }

  Status run_step(const RopeStep& step) {
    Result<Matrix> data = heads_of(step.data, step.first_column, step.heads, step.head_dim);
    if (!data.is_ok()) return data.status();
    Result<Matrix> table = input(step.table);
    if (!table.is_ok()) return table.status();
    return rope({.data = data.value(),
                 .table = table.value(),
                 .heads = step.heads,
                 .head_dim = step.head_dim,
                 .rotary_dim = step.rotary_dim,
                 .interleaved = step.interleaved,
                 .rows_on_device = rows_on_device_},
                queue_.launches());
  }

  Status run_step(const ExpertsStep& step) {
    Result<Matrix> in = input(step.in);
    if (!in.is_ok()) return in.status();
    Result<Matrix> residual = input(step.residual);
    if (!residual.is_ok()) return residual.status();
    Result<Matrix> out = output(step.out, in.value().dtype);
    if (!out.is_ok()) return out.status();
    return run_experts(queue_, step, in.value(), residual.value(), out.value(), rows_on_device_, options_);
  }

  CudaQueue& queue_;
  const RowProgram& program_;
  const std::span<const Matrix> matrices_;
  const int64_t rows_;
  const int32_t* const rows_on_device_;
  const GemmPlanOptions options_;
  const NormFusion norm_fusion_;
  std::vector<Matrix> slots_;
  std::vector<std::unique_ptr<Buffer>> memory_;
};

}  // namespace

Status run_row_program(CudaQueue& queue, const RowProgram& program, std::span<const Matrix> matrices,
                       int64_t rows, const int32_t* rows_on_device, const GemmPlanOptions& options,
                       NormFusion norm_fusion) {
  return RowRun(queue, program, matrices, rows, rows_on_device, options, norm_fusion).run();
}

}  // namespace padless::cuda
