#include "lib/engine/cpu/rows/block.h"

#include <cstring>

namespace padless {

float* RowBlock::slot_row(Slot slot, int64_t row) const {
  const PlannedSlot& planned = plan_.slots[static_cast<size_t>(slot)];
  if (planned.matrix) return planned.matrix + (first_ + row) * planned.stride;
  // A temporary's rows are `stride` apart; the temporaries of a block follow each other.
  return reinterpret_cast<float*>(memory_.temporaries + planned.temporary_offset * rows_) + row * planned.stride;
}

void RowBlock::convert_operand(const PlannedLinear& step, int64_t begin, int64_t end) const {
  if (!step.converts) return;
  const GemmKernel& kernel = step.weight->kernel();
  const int64_t columns = step.weight->in_features();
  const int64_t stride = plan_.slots[static_cast<size_t>(step.in)].stride;
  const float* source = slot_row(step.in, begin);
  char* operand = memory_.operand + begin * plan_.operand_stride;
  if (kernel.convert_rows) {
    kernel.convert_rows(source, stride, end - begin, columns, step.weight->layout().steps() * kernel.group, operand,
                        plan_.operand_stride, memory_.operand_scale + begin, memory_.operand_zero_point + begin);
    return;
  }
  for (int64_t row = 0; row < end - begin; ++row) {
    std::memcpy(operand + row * plan_.operand_stride, source + row * stride, static_cast<size_t>(columns) * 4);
  }
}

void RowBlock::multiply(const PlannedLinear& step, int64_t begin, int64_t end, int64_t block_steps,
                        void* accumulators) const {
  PanelTask task;
  if (step.converts) {
    task.a = memory_.operand;
    task.a_stride = plan_.operand_stride;
    task.a_scale = memory_.operand_scale;
    task.a_zero_point = memory_.operand_zero_point;
  } else {
    task.a = reinterpret_cast<const char*>(slot_row(step.in, 0));
    task.a_stride = plan_.slots[static_cast<size_t>(step.in)].stride * 4;
  }
  task.rows = rows_;
  task.block_steps = block_steps;
  task.activation = step.activation;
  task.accumulators = accumulators;
  task.out_stride = plan_.slots[static_cast<size_t>(step.out)].stride;
  float* out = slot_row(step.out, 0);
  const float* residual = nullptr;
  if (step.residual != kNoSlot) {
    task.residual_stride = plan_.slots[static_cast<size_t>(step.residual)].stride;
    residual = slot_row(step.residual, 0);
  }
  for (int64_t panel = begin; panel < end; ++panel) {
    step.weight->describe_panel(panel, task);
    const int64_t column = step.weight->layout().first_column(panel);
    task.out = out + column;
    task.residual = residual ? residual + column : nullptr;
    step.weight->kernel().multiply(task);
  }
}

void RowBlock::normalize(const PlannedNorm& step, int64_t begin, int64_t end) const {
  NormTask task;
  task.in = slot_row(step.in, begin);
  task.in_stride = plan_.slots[static_cast<size_t>(step.in)].stride;
  task.out = slot_row(step.out, begin);
  task.out_stride = plan_.slots[static_cast<size_t>(step.out)].stride;
  task.rows = end - begin;
  task.columns = step.columns;
  task.gamma = step.gamma;
  task.beta = step.beta;
  task.eps = step.eps;
  step.normalize(task);
}

}  // namespace padless
