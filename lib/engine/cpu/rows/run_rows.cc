#include "lib/engine/cpu/rows/run_rows.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "lib/core/thread_pool.h"
#include "lib/engine/cpu/rows/block.h"
#include "lib/engine/cpu/rows/blocking.h"
#include "lib/engine/cpu/rows/experts.h"
#include "lib/engine/cpu/rows/plan.h"
#include "lib/engine/cpu/rows/workspace.h"

namespace padless {
namespace {

/** Rows that a norm and a conversion pass through L1 at a time. */
constexpr int64_t kRowsInL1 = 4;

int widest_tile(const RowPlan& plan) {
  int rows = 1;
  for (const PlannedStep& step : plan.steps) {
    if (const auto* linear = std::get_if<PlannedLinear>(&step)) {
      rows = std::max(rows, linear->weight->kernel().tile_rows);
    }
  }
  return rows;
}

/** Rows of a block at most. */
int64_t most_rows(const CpuContext& context, const RowPlan& plan) {
  bool tiles = false;
  for (const PlannedStep& step : plan.steps) {
    const auto* linear = std::get_if<PlannedLinear>(&step);
    tiles = tiles || (linear && linear->weight->kernel().panel_in_l1);
  }
  return choose_block_rows(context.caches, plan.temporary_bytes + plan.operand_stride, tiles);
}

/** Cuts a workspace into a block's parts and a thread's accumulators. */
class BlockLayout {
 public:
  BlockLayout(const RowPlan& plan, int64_t block_rows, int tile_rows)
      : temporaries_(plan.temporary_bytes * block_rows),
        operand_(plan.operand_stride * block_rows),
        row_values_((block_rows * 4 + 63) / 64 * 64),
        accumulators_(plan.accumulator_bytes * ((block_rows + tile_rows - 1) / tile_rows * tile_rows)) {}

  size_t block_bytes() const { return static_cast<size_t>(temporaries_ + operand_ + 2 * row_values_); }
  size_t accumulator_bytes() const { return static_cast<size_t>(accumulators_); }

  BlockMemory memory(char* base) const {
    BlockMemory memory;
    memory.temporaries = base;
    memory.operand = base + temporaries_;
    memory.operand_scale = reinterpret_cast<float*>(memory.operand + operand_);
    memory.operand_zero_point = reinterpret_cast<int32_t*>(memory.operand + operand_ + row_values_);
    return memory;
  }

 private:
  int64_t temporaries_;
  int64_t operand_;
  int64_t row_values_;
  int64_t accumulators_;
};

struct Range {
  int64_t begin;
  int64_t end;
};

Range share_of(int64_t items, int index, int count) {
  return {items * index / count, items * (index + 1) / count};
}

/** What the thread reads first in the linear step that follows step `done`, the first step following the
 * last. */
std::span<const char> first_panel_after(const RowPlan& plan, size_t done, int index, int count) {
  for (size_t i = 1; i <= plan.steps.size(); ++i) {
    const PlannedStep& step = plan.steps[(done + i) % plan.steps.size()];
    if (const auto* linear = std::get_if<PlannedLinear>(&step)) {
      const Range share = share_of(linear->weight->layout().panels(), index, count);
      return share.begin < share.end ? linear->weight->panel_bytes(share.begin) : std::span<const char>{};
    }
  }
  return {};
}

/** The product that is the step after `norm` and converts what it writes: rows are converted while in L1. */
const PlannedLinear* converting_reader(const RowPlan& plan, size_t norm) {
  const auto* written = std::get_if<PlannedNorm>(&plan.steps[norm]);
  if (!written || norm + 1 == plan.steps.size()) return nullptr;
  const auto* linear = std::get_if<PlannedLinear>(&plan.steps[norm + 1]);
  return linear && linear->converts && linear->in == written->out ? linear : nullptr;
}

/** Takes rows [rows.begin, rows.end) through a step that is no product; returns whether the next one needs to
 * convert no more. */
bool run_row_step(const RowPlan& plan, const RowBlock& block, size_t step, Range rows) {
  const PlannedLinear* reader = converting_reader(plan, step);
  for (int64_t row = rows.begin; row < rows.end; row += kRowsInL1) {
    const int64_t end = std::min(row + kRowsInL1, rows.end);
    block.run_row_step(plan.steps[step], row, end);
    if (reader) block.convert_operand(*reader, row, end);
  }
  return reader != nullptr;
}

/** Threads take whole blocks of rows, one after another, through all steps. */
Status run_by_blocks(const CpuContext& context, const RowPlan& plan, const RowSplit& split) {
  const BlockLayout layout(plan, split.block_rows, widest_tile(plan));
  const int64_t blocks = (plan.rows + split.block_rows - 1) / split.block_rows;
  std::atomic<int64_t> next{0};
  std::atomic<bool> out_of_memory{false};
  ThreadPool::shared().run(static_cast<int>(std::min<int64_t>(context.threads, blocks)), [&](int, int) {
    char* base = thread_workspace(layout.block_bytes() + layout.accumulator_bytes());
    if (!base) {
      out_of_memory = true;
      return;
    }
    char* accumulators = base + layout.block_bytes();
    for (int64_t index = next++; index < blocks; index = next++) {
      const int64_t first = index * split.block_rows;
      const RowBlock block(plan, first, std::min(split.block_rows, plan.rows - first), layout.memory(base));
      bool converted = false;
      for (size_t i = 0; i < plan.steps.size(); ++i) {
        if (const auto* linear = std::get_if<PlannedLinear>(&plan.steps[i])) {
          const PanelLayout& panels = linear->weight->layout();
          if (!converted) block.convert_operand(*linear, 0, block.rows());
          converted = false;
          block.multiply(*linear, 0, panels.panels(), choose_block_steps(*linear->weight, context.caches),
                         first_panel_after(plan, i, 0, 1), accumulators);
        } else {
          converted = run_row_step(plan, block, i, {0, block.rows()});
        }
      }
    }
  });
  PADLESS_CHECK(!out_of_memory, Code::kOutOfMemory, "rows", "no memory for a block of ", split.block_rows,
                " rows");
  return Status::ok();
}

/** All threads go through the steps together, each with its share of the columns. */
Status run_by_columns(const CpuContext& context, const RowPlan& plan) {
  const BlockLayout layout(plan, plan.rows, widest_tile(plan));
  const int threads = context.threads;
  char* base =
      thread_workspace(layout.block_bytes() + layout.accumulator_bytes() * static_cast<size_t>(threads));
  PADLESS_CHECK(base, Code::kOutOfMemory, "rows", "no memory for a block of ", plan.rows, " rows");
  const RowBlock block(plan, 0, plan.rows, layout.memory(base));
  SpinBarrier barrier;
  ThreadPool::shared().run(threads, [&](int index, int count) {
    const auto meet = [&] {
      if (count > 1) barrier.wait(count);  // a region within another has one thread only
    };
    char* accumulators =
        base + layout.block_bytes() + layout.accumulator_bytes() * static_cast<size_t>(index);
    const Range own = share_of(plan.rows, index, count);
    bool converted = false;
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      if (const auto* linear = std::get_if<PlannedLinear>(&plan.steps[i])) {
        const PanelLayout& panels = linear->weight->layout();
        if (linear->converts && !converted) {
          block.convert_operand(*linear, own.begin, own.end);
          meet();
        }
        converted = false;
        const Range share = share_of(panels.panels(), index, count);
        block.multiply(*linear, share.begin, share.end, choose_block_steps(*linear->weight, context.caches),
                       first_panel_after(plan, i, index, count), accumulators);
      } else {
        converted = run_row_step(plan, block, i, own);
      }
      meet();
    }
  });
  return Status::ok();
}

/** Steps that every row takes on its own. */
Status run_steps(const CpuContext& context, const RowProgram& program, std::span<const Matrix> matrices,
                 int64_t rows) {
  Result<RowPlan> planned = plan_rows(context, program, matrices, rows);
  if (!planned.is_ok()) return planned.status();
  const RowPlan& plan = planned.value();
  if (rows == 0 || plan.steps.empty()) return Status::ok();
  const RowSplit split = choose_row_split(rows, context.threads, widest_tile(plan), most_rows(context, plan));
  return split.by_columns ? run_by_columns(context, plan) : run_by_blocks(context, plan, split);
}

/** Experts take their rows from all blocks, so their operands cannot be a block's temporaries. */
Status run_experts(const CpuContext& context, const RowProgram& program, const ExpertsStep& step,
                   std::span<const Matrix> matrices, int64_t rows) {
  Matrix operands[3];
  const Slot slots[] = {step.in, step.residual, step.out};
  for (int i = 0; i < 3; ++i) {
    const bool known = slots[i] >= 0 && static_cast<size_t>(slots[i]) < program.slots.size();
    const int binding = known ? program.slots[static_cast<size_t>(slots[i])].binding : -1;
    PADLESS_CHECK(binding >= 0 && static_cast<size_t>(binding) < matrices.size(), Code::kInvalidArgument,
                  "program", "experts work on bound matrices");
    operands[i] = matrices[static_cast<size_t>(binding)];
    PADLESS_CHECK(operands[i].dtype == DType::kF32 && operands[i].rows >= rows, Code::kInvalidArgument,
                  "matrices", "matrix ", binding, " is not f32 of ", rows, " rows");
  }
  PADLESS_CHECK(operands[1].cols == operands[2].cols, Code::kInvalidArgument, "residual", "a residual of ",
                operands[1].cols, " columns for ", operands[2].cols);
  return rows == 0 ? Status::ok()
                   : run_experts_cpu(context, step, operands[0], operands[1], operands[2], rows);
}

}  // namespace

Status run_rows_cpu(const CpuContext& context, const RowProgram& program, std::span<const Matrix> matrices,
                    int64_t rows) {
  const auto is_experts = [](const RowStep& step) { return std::holds_alternative<ExpertsStep>(step); };
  if (std::none_of(program.steps.begin(), program.steps.end(), is_experts)) {
    return run_steps(context, program, matrices, rows);
  }
  for (auto next = program.steps.begin(); next != program.steps.end();) {
    if (const auto* experts = std::get_if<ExpertsStep>(&*next)) {
      PADLESS_RETURN_IF_ERROR(run_experts(context, program, *experts, matrices, rows));
      ++next;
      continue;
    }
    const auto end = std::find_if(next, program.steps.end(), is_experts);
    PADLESS_RETURN_IF_ERROR(run_steps(context, {program.slots, {next, end}}, matrices, rows));
    next = end;
  }
  return Status::ok();
}

}  // namespace padless
