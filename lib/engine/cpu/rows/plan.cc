#include "lib/engine/cpu/rows/plan.h"

#include <algorithm>

#include "lib/engine/cpu/gemm/select.h"
#include "lib/engine/cpu/rows/blocking.h"

namespace padless {
namespace {

constexpr int64_t kLineBytes = 64;

/** Bytes between rows such that equal columns of successive rows fall into different sets of a cache. */
int64_t spread_stride(int64_t row_bytes) {
  const int64_t lines = (row_bytes + kLineBytes - 1) / kLineBytes;
  return (lines | 1) * kLineBytes;
}

/** Rows a multiple of 2 KiB apart share two sets of a 4 KiB way: eight of them and a panel do not fit. */
bool rows_collide(int64_t stride_elements) { return stride_elements * 4 % 2048 == 0; }

class Planner {
 public:
  Planner(const CpuContext& context, const RowProgram& program, std::span<const Matrix> matrices,
          int64_t rows)
      : context_(context), program_(program), matrices_(matrices), norms_(select_norm_kernels(context.isa)) {
    plan_.rows = rows;
    plan_.next = dynamic_cast<const CpuLinearWeight*>(program.next.get());
  }

  Result<RowPlan> plan() {
    PADLESS_CHECK(plan_.rows >= 0, Code::kInvalidArgument, "rows", "rows is ", plan_.rows);
    for (size_t i = 0; i < program_.slots.size(); ++i) {
      PADLESS_RETURN_IF_ERROR(add_slot(program_.slots[i], bf16_use(static_cast<Slot>(i))));
    }
    for (const RowStep& step : program_.steps) {
      PADLESS_RETURN_IF_ERROR(std::visit([this](const auto& kind) { return add_step(kind); }, step));
    }
    place_temporaries(plan_);
    return std::move(plan_);
  }

 private:
  template <class... Parts>
  Status invalid(const Parts&... parts) const {
    return Status(Code::kInvalidArgument, concat("row program step ", plan_.steps.size(), ": ", parts...),
                  "program");
  }

  /** Whether a slot can hold bf16, and whether steps both write and read it. */
  struct BF16Use {
    bool possible = false;
    bool both_ways = false;
    bool in_tiles = false;  // where the kernels that use it choose
  };
  /** Possible if nothing but products uses the slot, and those give bf16 and take it: as it is only without
   * padding. */
  BF16Use bf16_use(Slot slot) const {
    const auto fits = [&](const LinearStep& step, int64_t columns) {
      const auto* weight = dynamic_cast<const CpuLinearWeight*>(step.weight.get());
      if (!weight || step.residual == slot) return false;
      const GemmKernel& kernel = weight->kernel();
      if (!kernel.stores_bf16) return false;
      if (step.in != slot) return step.residual == kNoSlot;
      return kernel.convert_bf16_rows || weight->layout().steps() * kernel.group == columns;
    };
    const RowSlot& planned = program_.slots[static_cast<size_t>(slot)];
    bool is_read = false;
    bool is_written = false;
    bool in_tiles = true;
    for (const RowStep& step : program_.steps) {
      if (const auto* linear = std::get_if<LinearStep>(&step)) {
        const bool reads = linear->in == slot;
        const bool writes = linear->out == slot;
        if ((reads || writes || linear->residual == slot) && !fits(*linear, planned.cols)) return {};
        if (!reads && !writes) continue;
        const auto& weight = dynamic_cast<const CpuLinearWeight&>(*linear->weight);
        in_tiles = in_tiles && weight.kernel().rows_in_tiles;
        is_read = is_read || reads;
        is_written = is_written || writes;
      } else if (uses(step, slot)) {
        return {};
      }
    }
    return {.possible = true, .both_ways = is_read && is_written, .in_tiles = in_tiles};
  }

  static bool uses(const RowStep& step, Slot slot) {
    if (const auto* norm = std::get_if<NormStep>(&step)) {
      return norm->in == slot || norm->out == slot || norm->residual == slot || norm->add == slot;
    }
    if (const auto* normalize = std::get_if<L2NormalizeStep>(&step)) {
      return normalize->in == slot || normalize->out == slot;
    }
    if (const auto* heads = std::get_if<HeadNormStep>(&step)) return heads->data == slot;
    if (const auto* rope = std::get_if<RopeStep>(&step)) return rope->data == slot || rope->table == slot;
    return false;
  }

  Status add_slot(const RowSlot& slot, BF16Use use) {
    PADLESS_CHECK(slot.cols > 0, Code::kInvalidArgument, "program", "a slot of ", slot.cols, " columns");
    PlannedSlot planned;
    if (slot.binding < 0) {
      planned.bf16 = use.possible && use.both_ways;
      planned.tiled = planned.bf16 && use.in_tiles;
      const int64_t element_bytes = planned.bf16 ? 2 : 4;
      const int64_t bytes = spread_stride(slot.cols * element_bytes);
      planned.stride = bytes / element_bytes;
    } else {
      PADLESS_CHECK(static_cast<size_t>(slot.binding) < matrices_.size(), Code::kInvalidArgument, "matrices",
                    "binding ", slot.binding, " of ", matrices_.size(), " matrices");
      const Matrix& matrix = matrices_[static_cast<size_t>(slot.binding)];
      planned.bf16 = matrix.dtype == DType::kBF16 && use.possible;
      PADLESS_CHECK(matrix.dtype == DType::kF32 || planned.bf16, Code::kInvalidArgument, "matrices",
                    "matrix ", slot.binding, " is ", dtype_name(matrix.dtype),
                    "; the steps that use it keep activations in f32 here");
      PADLESS_CHECK(matrix.cols == slot.cols && matrix.stride >= matrix.cols && matrix.rows >= plan_.rows,
                    Code::kInvalidArgument, "matrices", "matrix ", slot.binding, " is [", matrix.rows, ", ",
                    matrix.cols, "] with stride ", matrix.stride, "; needed are ", plan_.rows, " rows of ",
                    slot.cols);
      PADLESS_CHECK(matrix.data || plan_.rows == 0, Code::kInvalidArgument, "matrices", "matrix ",
                    slot.binding, " has no data");
      planned.matrix = static_cast<char*>(matrix.data);
      planned.stride = matrix.stride;
    }
    plan_.slots.push_back(planned);
    return Status::ok();
  }

  /** -1 for a slot that does not exist. */
  int64_t columns(Slot slot) const {
    if (slot < 0 || static_cast<size_t>(slot) >= program_.slots.size()) return -1;
    return program_.slots[static_cast<size_t>(slot)].cols;
  }

  Status add_step(const LinearStep& step) {
    const auto* weight = dynamic_cast<const CpuLinearWeight*>(step.weight.get());
    if (!weight) return invalid("its weight was not packed by the CPU engine");
    const GemmKernel& kernel = weight->kernel();
    if (!is_for_context(kernel)) return invalid("its weight was packed for another instruction set");
    if (columns(step.in) != weight->in_features()) {
      return invalid("a weight with ", weight->in_features(), " inputs reads ", columns(step.in), " columns");
    }
    if (columns(step.out) != weight->out_features()) {
      return invalid("a weight with ", weight->out_features(), " outputs writes ", columns(step.out),
                     " columns");
    }
    if (step.in == step.out) return invalid("a linear step cannot write to its own input");
    if (step.residual != kNoSlot && columns(step.residual) != weight->out_features()) {
      return invalid("a residual of ", columns(step.residual), " columns for ", weight->out_features());
    }
    if (step.residual_first && (step.residual == kNoSlot || weight->glu())) {
      return invalid("a residual before the activation needs a residual, and a weight that is no GLU");
    }
    PlannedLinear planned{.weight = weight,
                          .kernel = &kernel_for(kernel),
                          .in = step.in,
                          .out = step.out,
                          .residual = step.residual,
                          .activation = step.activation,
                          .residual_first = step.residual_first,
                          .portion_steps = weight->layout().steps(),
                          .operand_rows = {}};
    plan_operand(planned);
    plan_.steps.push_back(planned);
    return Status::ok();
  }

  /** The one that multiplies panels of `packed` by as many rows as the plan has. */
  const GemmKernel& kernel_for(const GemmKernel& packed) const {
    if (context_.batch_invariant || plan_.rows < kManyRows) return packed;
    const GemmKernel* many = select_many_rows_kernel(context_.isa, packed);
    return many ? *many : packed;
  }

  void plan_operand(PlannedLinear& step) {
    const GemmKernel& kernel = *step.kernel;
    const PanelLayout& layout = step.weight->layout();
    const PlannedSlot& in = plan_.slots[static_cast<size_t>(step.in)];
    step.converts =
        in.bf16 ? kernel.convert_bf16_rows != nullptr : kernel.convert_rows || rows_collide(in.stride);
    int64_t accumulators = panel_sum_bytes(kernel);
    if (kernel.operand == OperandFormat::kBF16Parts) {
      step.portion_steps = choose_portion_steps(layout.steps());
      if (step.in_portions()) accumulators *= layout.panels() + 1;
    }
    if (step.converts) {
      const int64_t bytes = operand_bytes(kernel, step.portion_steps);
      step.operand_rows = {spread_stride(bytes), kernel.rows_in_tiles};
      plan_.operand_bytes = std::max(plan_.operand_bytes, step.operand_rows.stride);
    }
    plan_.accumulator_bytes = std::max(plan_.accumulator_bytes, accumulators);
    plan_.scratch_bytes = std::max(plan_.scratch_bytes, kernel.scratch_bytes);
  }

  bool is_for_context(const GemmKernel& kernel) const {
    for (ComputeType compute : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kI8}) {
      if (select_gemm_kernel(context_.isa, compute) == &kernel) return true;
    }
    return false;
  }

  Status add_step(const NormStep& step) {
    PlannedNorm planned;
    planned.normalize = step.kind == NormKind::kLayer ? norms_.layer : norms_.rms;
    planned.eps = step.eps;
    PADLESS_RETURN_IF_ERROR(set_norm_slots(step.in, step.out, planned));
    if (step.residual != kNoSlot) {
      if (columns(step.residual) != planned.columns) {
        return invalid("a residual of ", columns(step.residual), " columns for ", planned.columns);
      }
      if (step.residual == step.out) return invalid("a norm cannot write to its own residual");
      planned.residual = step.residual;
    }
    if (step.add != kNoSlot) {
      if (columns(step.add) != planned.columns) {
        return invalid("an addend of ", columns(step.add), " columns for ", planned.columns);
      }
      // The sum of in and residual goes through out.
      if (step.add == step.out && step.residual != kNoSlot) {
        return invalid("a norm with a residual cannot write to its own addend");
      }
      planned.add = step.add;
    }
    if (!step.gamma) return invalid("a norm without gamma");
    PADLESS_RETURN_IF_ERROR(read_vector(*step.gamma, "gamma", planned.columns, planned.gamma));
    if (step.beta) PADLESS_RETURN_IF_ERROR(read_vector(*step.beta, "beta", planned.columns, planned.beta));
    plan_.steps.push_back(planned);
    return Status::ok();
  }

  Status add_step(const L2NormalizeStep& step) {
    PlannedNorm planned;
    planned.normalize = norms_.l2;
    planned.eps = 1e-12f;
    PADLESS_RETURN_IF_ERROR(set_norm_slots(step.in, step.out, planned));
    plan_.steps.push_back(planned);
    return Status::ok();
  }

  Status add_step(const HeadNormStep& step) {
    PlannedNorm planned;
    planned.normalize = norms_.rms;
    planned.in = planned.out = step.data;
    planned.first_column = step.first_column;
    planned.groups = step.heads;
    planned.columns = step.head_dim;
    planned.eps = step.eps;
    PADLESS_RETURN_IF_ERROR(check_heads(step));
    if (!step.gamma) return invalid("a head norm without gamma");
    PADLESS_RETURN_IF_ERROR(read_vector(*step.gamma, "gamma", step.head_dim, planned.gamma));
    plan_.steps.push_back(planned);
    return Status::ok();
  }

  Status add_step(const ExpertsStep&) { return invalid("experts run between the blocks of a program"); }

  Status add_step(const RopeStep& step) {
    PADLESS_RETURN_IF_ERROR(check_heads(step));
    if (step.rotary_dim <= 0 || step.rotary_dim % 2 != 0 || step.rotary_dim > step.head_dim) {
      return invalid("rope turns ", step.rotary_dim, " columns of heads of ", step.head_dim);
    }
    if (columns(step.table) != step.rotary_dim || step.table == step.data) {
      return invalid("a rope table of ", columns(step.table), " columns for ", step.rotary_dim);
    }
    plan_.steps.push_back(PlannedRope{select_rope_kernel(context_.isa), step.data, step.table,
                                      step.first_column, step.heads, step.head_dim, step.rotary_dim,
                                      step.interleaved});
    return Status::ok();
  }

  template <class Step>
  Status check_heads(const Step& step) const {
    if (step.first_column < 0 || step.heads < 0 || step.head_dim <= 0 ||
        step.first_column + step.heads * step.head_dim > columns(step.data)) {
      return invalid(step.heads, " heads of ", step.head_dim, " from column ", step.first_column, " of ",
                     columns(step.data));
    }
    return Status::ok();
  }

  Status set_norm_slots(Slot in, Slot out, PlannedNorm& planned) const {
    planned.in = in;
    planned.out = out;
    planned.columns = columns(in);
    if (planned.columns < 0 || columns(out) != planned.columns) {
      return invalid("a norm reads ", planned.columns, " and writes ", columns(out), " columns");
    }
    return Status::ok();
  }

  Status read_vector(const DeviceTensor& tensor, const char* name, int64_t length, const float*& data) const {
    const Matrix view = tensor.view();
    if (view.dtype != DType::kF32 || view.rows * view.cols != length) {
      return invalid(name, " is ", dtype_name(view.dtype), " [", view.rows * view.cols, "]; needed is f32 [",
                     length, "]");
    }
    data = static_cast<const float*>(view.data);
    return Status::ok();
  }

  const CpuContext& context_;
  const RowProgram& program_;
  const std::span<const Matrix> matrices_;
  const NormKernels& norms_;
  RowPlan plan_;
};

}  // namespace

void place_temporaries(RowPlan& plan) {
  plan.temporary_bytes = 0;
  for (PlannedSlot& slot : plan.slots) {
    if (slot.matrix) continue;
    slot.temporary_offset = plan.temporary_bytes;
    plan.temporary_bytes += slot.stride * (slot.bf16 ? 2 : 4);
  }
}

Result<RowPlan> plan_rows(const CpuContext& context, const RowProgram& program,
                          std::span<const Matrix> matrices, int64_t rows) {
  return Planner(context, program, matrices, rows).plan();
}

}  // namespace padless
