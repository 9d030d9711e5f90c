#include "lib/engine/cpu/rows/run_rows.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "lib/core/thread_pool.h"
#include "lib/engine/cpu/rows/block_layout.h"
#include "lib/engine/cpu/rows/blocking.h"
#include "lib/engine/cpu/rows/by_columns.h"
#include "lib/engine/cpu/rows/experts.h"
#include "lib/engine/cpu/rows/plan.h"
#include "lib/engine/cpu/rows/workspace.h"

namespace padless {
namespace {

int widest_tile(const RowPlan& plan) {
  int rows = 1;
  for (const PlannedStep& step : plan.steps) {
    if (const auto* linear = std::get_if<PlannedLinear>(&step)) {
      rows = std::max(rows, linear->kernel->tile_rows);
    }
  }
  return rows;
}

/** Rows of a block at most. */
int64_t most_rows(const CpuContext& context, const RowPlan& plan) {
  bool tiles = false;
  bool parts = false;
  for (const PlannedStep& step : plan.steps) {
    const auto* linear = std::get_if<PlannedLinear>(&step);
    tiles = tiles || (linear && linear->kernel->panel_in_l1);
    parts = parts || (linear && linear->kernel->operand == OperandFormat::kBF16Parts);
  }
  // Products in parts take so long that temporaries, read once a step, need not stay in L2.
  const int64_t kept = parts ? plan.accumulator_bytes : plan.temporary_bytes;
  return choose_block_rows(context.caches, plan.operand_bytes + kept, tiles);
}

/** What a thread reads first after a portion of the product that is step `done`: of its next portion, or of
 * the product that follows, the first one following the last. */
std::span<const char> first_read_after(const RowPlan& plan, size_t done, const Portion& portion) {
  for (size_t i = 0; i <= plan.steps.size(); ++i) {
    const auto* linear = std::get_if<PlannedLinear>(&plan.steps[(done + i) % plan.steps.size()]);
    if (!linear) continue;
    const int64_t first = i == 0 ? portion.first + portion.count : 0;
    if (first == linear->weight->layout().steps()) continue;
    if (linear->weight->layout().panels() == 0) return {};
    return linear->weight->panel_bytes(0, first, linear->portion(first).count);
  }
  return {};
}

/** All panels of the product that is step `step`. */
void multiply_panels(const RowPlan& plan, const RowBlock& block, size_t step, const Portion& portion,
                     int64_t block_steps, const ProductMemory& memory) {
  const auto& linear = std::get<PlannedLinear>(plan.steps[step]);
  const int64_t panels = linear.weight->layout().panels();
  for (int64_t panel = 0; panel < panels; ++panel) {
    const std::span<const char> next =
        panel + 1 < panels ? linear.weight->panel_bytes(panel + 1, portion.first, portion.count)
                           : first_read_after(plan, step, portion);
    block.multiply(linear, panel, portion, block_steps, {next}, memory);
  }
}

/** Threads take whole blocks of rows, one after another, through all steps. */
Status run_by_blocks(const CpuContext& context, const RowPlan& plan, const RowSplit& split, int tile_rows) {
  const BlockLayout layout(plan, split.block_rows, tile_rows);
  const int64_t blocks = (plan.rows + split.block_rows - 1) / split.block_rows;
  std::atomic<int64_t> next{0};
  std::atomic<bool> out_of_memory{false};
  ThreadPool::shared().run(static_cast<int>(std::min<int64_t>(context.threads, blocks)), [&](int, int) {
    char* base = thread_workspace(layout.block_bytes() + layout.thread_bytes());
    if (!base) {
      out_of_memory = true;
      return;
    }
    const ProductMemory memory = layout.product_memory(base, 0);
    for (int64_t index = next++; index < blocks; index = next++) {
      const int64_t first = index * split.block_rows;
      const RowBlock block(plan, first, std::min(split.block_rows, plan.rows - first), layout.memory(base));
      bool converted = false;
      for (size_t i = 0; i < plan.steps.size(); ++i) {
        if (const auto* linear = std::get_if<PlannedLinear>(&plan.steps[i])) {
          for (int64_t step = 0; step < linear->weight->layout().steps(); step += linear->portion_steps) {
            const Portion portion = linear->portion(step);
            if (!converted) block.convert_operand(*linear, 0, block.rows(), portion);
            multiply_panels(plan, block, i, portion, choose_block_steps(*linear->weight, context.caches),
                            memory);
          }
          converted = false;
        } else {
          block.run_row_step(i, 0, block.rows());
          converted = block.converts_after(i);
        }
      }
    }
  });
  PADLESS_CHECK(!out_of_memory, Code::kOutOfMemory, "rows", "no memory for a block of ", split.block_rows,
                " rows");
  return Status::ok();
}

/** Steps that every row takes on its own. */
Status run_steps(const CpuContext& context, const RowProgram& program, std::span<const Matrix> matrices,
                 int64_t rows) {
  Result<RowPlan> planned = plan_rows(context, program, matrices, rows);
  if (!planned.is_ok()) return planned.status();
  const RowPlan& plan = planned.value();
  if (rows == 0 || plan.steps.empty()) return Status::ok();
  const int tile_rows = widest_tile(plan);
  const RowSplit split = choose_row_split(rows, context.threads, tile_rows, most_rows(context, plan));
  return split.by_columns ? run_by_columns(context, plan, tile_rows)
                          : run_by_blocks(context, plan, split, tile_rows);
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
    PADLESS_RETURN_IF_ERROR(
        run_steps(context, {program.slots, {next, end}, end == program.steps.end() ? program.next : nullptr},
                  matrices, rows));
    next = end;
  }
  return Status::ok();
}

}  // namespace padless
