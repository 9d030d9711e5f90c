#include "lib/engine/cpu/rows/block.h"

#include <algorithm>
#include <cstring>
#include <variant>

namespace padless {
namespace {

/** out = in + residual. */
void add_rows(const NormTask& task, const float* residual, int64_t residual_stride) {
  for (int64_t row = 0; row < task.rows; ++row) {
    const float* in = task.in + row * task.in_stride;
    const float* other = residual + row * residual_stride;
    float* out = task.out + row * task.out_stride;
    for (int64_t i = 0; i < task.columns; ++i) out[i] = in[i] + other[i];
  }
}

}  // namespace

RowLayout RowBlock::layout(Slot slot) const {
  const PlannedSlot& planned = plan_.slots[static_cast<size_t>(slot)];
  return {planned.stride * (planned.bf16 ? 2 : 4), planned.tiled};
}

// The temporaries of a block follow each other.
char* RowBlock::first_row(Slot slot) const {
  const PlannedSlot& planned = plan_.slots[static_cast<size_t>(slot)];
  if (planned.matrix) return planned.matrix + layout(slot).offset(first_);
  return memory_.temporaries + planned.temporary_offset * whole_groups(rows_);
}

void RowBlock::convert_operand(const PlannedLinear& step, int64_t begin, int64_t end,
                               const Portion& portion) const {
  if (step.converts) convert_rows(step, begin, end, portion, nullptr);
}

void RowBlock::convert_rows(const PlannedLinear& step, int64_t begin, int64_t end, const Portion& portion,
                            const RowExtent* extents) const {
  const GemmKernel& kernel = *step.kernel;
  const int64_t first = portion.first * kernel.group;
  const int64_t padded = portion.count * kernel.group;
  ConversionTask task;
  task.source_rows = layout(step.in);
  task.source = first_row(step.in) + task.source_rows.piece_offset(first * (is_bf16(step.in) ? 2 : 4));
  task.begin = begin;
  task.end = end;
  task.columns = std::min(padded, step.weight->in_features() - first);
  task.padded_columns = padded;
  task.operand = memory_.operand;
  task.operand_rows = step.operand_rows;
  task.scale = memory_.operand_scale;
  task.zero_point = memory_.operand_zero_point;
  task.extents = extents;
  if (is_bf16(step.in)) return kernel.convert_bf16_rows(task);
  if (kernel.convert_rows) return kernel.convert_rows(task);
  for (int64_t row = begin; row < end; ++row) {
    std::memcpy(task.operand + task.operand_rows.offset(row), task.source + task.source_rows.offset(row),
                static_cast<size_t>(task.columns) * 4);
  }
}

void RowBlock::multiply(const PlannedLinear& step, int64_t panel, const Portion& portion, int64_t block_steps,
                        const PanelFetch& fetch, const ProductMemory& memory, int64_t first_column) const {
  const GemmKernel& kernel = *step.kernel;
  PanelTask task;
  step.weight->describe_panel(panel, task);
  task.panel = step.weight->panel_bytes(panel, portion.first, portion.count).data();
  task.steps = portion.count;
  task.resumes = portion.first > 0;
  task.finishes = portion.first + portion.count == step.weight->layout().steps();
  task.next_panel = fetch.memory.data();
  task.next_panel_bytes = static_cast<int64_t>(fetch.memory.size());
  task.fetch_into_l1 = fetch.into_l1;
  const int64_t column = step.weight->layout().first_column(panel) - first_column;
  if (step.converts) {
    task.a = memory_.operand;
    task.a_rows = step.operand_rows;
    task.a_scale = memory_.operand_scale;
    task.a_zero_point = memory_.operand_zero_point;
  } else {
    task.a = first_row(step.in);
    task.a_rows = layout(step.in);
  }
  task.rows = rows_;
  task.block_steps = block_steps;
  task.activation = step.activation;
  task.scratch = memory.scratch;
  task.accumulators = memory.sums;
  if (step.in_portions()) {
    const int64_t rows = (rows_ + kernel.tile_rows - 1) / kernel.tile_rows * kernel.tile_rows;
    // The first place is that of the products whose chunks are made in between.
    task.accumulators = memory.sums + (panel + 1) * rows * panel_sum_bytes(kernel);
  }
  task.out_stride = slot_stride(step.out);
  if (is_bf16(step.out)) {
    task.bf16_rows = layout(step.out);
    task.bf16_out = first_row(step.out) + task.bf16_rows.piece_offset(column * 2);
  } else {
    task.out = slot_row(step.out, 0) + column;
  }
  if (step.residual != kNoSlot) {
    task.residual = slot_row(step.residual, 0) + column;
    task.residual_stride = slot_stride(step.residual);
    task.residual_first = step.residual_first;
  }
  kernel.multiply(task);
}

const PlannedLinear* RowBlock::converting_reader(size_t step) const {
  const auto* norm = std::get_if<PlannedNorm>(&plan_.steps[step]);
  if (!norm || step + 1 == plan_.steps.size()) return nullptr;
  const auto* linear = std::get_if<PlannedLinear>(&plan_.steps[step + 1]);
  // Norms of heads leave a part of a row.
  const bool reads_it = linear && linear->converts && linear->in == norm->out && norm->groups == 1 &&
                        norm->columns == linear->weight->in_features();
  return reads_it && !linear->in_portions() ? linear : nullptr;
}

void RowBlock::run_row_step(size_t step, int64_t begin, int64_t end) const {
  const PlannedLinear* reader = converting_reader(step);
  for (int64_t row = begin; row < end; row += kRowsInL1) {
    const int64_t last = std::min(row + kRowsInL1, end);
    RowExtent extents[kRowsInL1];
    RowExtent* known = reader && is_quantised(reader->kernel->operand) ? extents : nullptr;
    if (const auto* norm = std::get_if<PlannedNorm>(&plan_.steps[step])) normalize(*norm, row, last, known);
    if (const auto* rope = std::get_if<PlannedRope>(&plan_.steps[step])) rotate(*rope, row, last);
    if (reader) convert_rows(*reader, row, last, reader->portion(0), known);
  }
}

void RowBlock::normalize(const PlannedNorm& step, int64_t begin, int64_t end, RowExtent* extents) const {
  NormTask task;
  task.in = slot_row(step.in, begin) + step.first_column;
  task.in_stride = slot_stride(step.in);
  task.out = slot_row(step.out, begin) + step.first_column;
  task.out_stride = slot_stride(step.out);
  task.rows = end - begin;
  task.columns = step.columns;
  task.gamma = step.gamma;
  task.beta = step.beta;
  task.eps = step.eps;
  task.extents = extents;
  if (step.add != kNoSlot) {
    task.add = slot_row(step.add, begin);
    task.add_stride = slot_stride(step.add);
  }
  if (step.residual != kNoSlot) {
    add_rows(task, slot_row(step.residual, begin), slot_stride(step.residual));
    task.in = task.out;
    task.in_stride = task.out_stride;
  }
  for (int64_t group = 0; group < step.groups; ++group) {
    step.normalize(task);
    task.in += step.columns;
    task.out += step.columns;
  }
}

void RowBlock::rotate(const PlannedRope& step, int64_t begin, int64_t end) const {
  RopeTask task;
  task.data = slot_row(step.data, begin) + step.first_column;
  task.stride = slot_stride(step.data);
  task.table = slot_row(step.table, begin);
  task.table_stride = slot_stride(step.table);
  task.rows = end - begin;
  task.heads = step.heads;
  task.head_dim = step.head_dim;
  task.rotary_dim = step.rotary_dim;
  task.interleaved = step.interleaved;
  step.rotate(task);
}

}  // namespace padless
