#include "lib/engine/cpu/rows/run_rows.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "lib/core/thread_pool.h"
#include "lib/engine/cpu/rows/block_layout.h"
#include "lib/engine/cpu/rows/blocking.h"
#include "lib/engine/cpu/rows/by_columns.h"
#include "lib/engine/cpu/rows/experts.h"
#include "lib/engine/cpu/rows/parts.h"
#include "lib/engine/cpu/rows/plan.h"
#include "lib/engine/cpu/rows/workspace.h"

namespace padless {
namespace {

ProductCosts product_costs(const RowPlan& plan) {
  ProductCosts costs{.operand_bytes = plan.operand_bytes, .tiles = true};
  for (const PlannedStep& step : plan.steps) {
    const auto* linear = std::get_if<PlannedLinear>(&step);
    if (!linear) continue;
    const PlannedSlot& in = plan.slots[static_cast<size_t>(linear->in)];
    const GemmKernel& kernel = *linear->kernel;
    costs.weight_bytes += linear->weight->layout().bytes_total();
    if (!linear->converts) costs.operand_bytes = std::max(costs.operand_bytes, in.stride * (in.bf16 ? 2 : 4));
    costs.tile_rows = std::max(costs.tile_rows, kernel.tile_rows);
    costs.tiles = costs.tiles && kernel.panel_in_l1 && kernel.operand != OperandFormat::kBF16Parts;
  }
  return costs;
}

/** Bytes of the longest row, or portion of one, that a product reads once a panel. */
int64_t reread_bytes(const RowPlan& plan) {
  int64_t longest = 0;
  for (const PlannedStep& step : plan.steps) {
    const auto* linear = std::get_if<PlannedLinear>(&step);
    if (!linear) continue;
    longest = std::max(longest, operand_bytes(*linear->kernel, linear->portion_steps));
  }
  return longest;
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
  // Temporaries that are read once a step need not stay in L2.
  if (tiles && !parts) return choose_block_rows(context.caches, reread_bytes(plan), tiles);
  const int64_t kept = parts ? plan.accumulator_bytes : plan.temporary_bytes;
  return choose_block_rows(context.caches, plan.operand_bytes + kept, tiles);
}

/** What a thread reads first after part `done` of a block, the first one of the next block following the
 * last.
 */
std::span<const char> first_read_after(const RowPlan& plan, std::span<const Part> parts, size_t done) {
  for (size_t i = 1; i <= parts.size(); ++i) {
    const std::span<const char> read = first_panel(plan, parts[(done + i) % parts.size()]);
    if (!read.empty()) return read;
  }
  return {};
}

/** A part of a product; `after` is what the thread reads next. */
void multiply_panels(const RowPlan& plan, const RowBlock& block, const Part& part, int64_t block_steps,
                     std::span<const char> after, const ProductMemory& memory) {
  const auto& linear = std::get<PlannedLinear>(plan.steps[part.step]);
  for (int64_t panel = part.begin; panel < part.end; ++panel) {
    const std::span<const char> next =
        panel + 1 < part.end ? linear.weight->panel_bytes(panel + 1, part.portion.first, part.portion.count)
                             : after;
    block.multiply(linear, panel, part.portion, block_steps, {next}, memory, part.first_column);
  }
}

/** Threads take whole blocks of rows, one after another, through all parts. */
Status run_by_blocks(const CpuContext& context, const RowPlan& plan, int64_t block_rows, int tile_rows) {
  const BlockLayout layout(plan, block_rows, tile_rows);
  const std::vector<Part> parts = parts_of(plan);
  const int64_t blocks = (plan.rows + block_rows - 1) / block_rows;
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
      const int64_t first = index * block_rows;
      const RowBlock block(plan, first, std::min(block_rows, plan.rows - first), layout.memory(base));
      bool converted = false;
      for (size_t i = 0; i < parts.size(); ++i) {
        const Part& part = parts[i];
        const auto* linear = std::get_if<PlannedLinear>(&plan.steps[part.step]);
        if (!linear) {
          block.run_row_step(part.step, 0, block.rows());
          converted = block.converts_after(part.step);
          continue;
        }
        if (part.begin == 0 && !converted) block.convert_operand(*linear, 0, block.rows(), part.portion);
        converted = false;
        multiply_panels(plan, block, part, choose_block_steps(*linear->weight, context.caches),
                        first_read_after(plan, parts, i), memory);
      }
    }
  });
  PADLESS_CHECK(!out_of_memory, Code::kOutOfMemory, "rows", "no memory for a block of ", block_rows, " rows");
  return Status::ok();
}

/** Steps that every row takes on its own. */
Status run_steps(const CpuContext& context, const RowProgram& program, std::span<const Matrix> matrices,
                 int64_t rows) {
  Result<RowPlan> planned = plan_rows(context, program, matrices, rows);
  if (!planned.is_ok()) return planned.status();
  RowPlan& plan = planned.value();
  if (rows == 0 || plan.steps.empty()) return Status::ok();
  const ProductCosts costs = product_costs(plan);
  if (shares_columns(rows, context.threads, costs, context.caches)) {
    return run_by_columns(context, plan, costs.tile_rows);
  }
  take_in_chunks(plan);
  const int64_t block_rows =
      choose_even_rows(rows, context.threads, costs.tile_rows, most_rows(context, plan));
  return run_by_blocks(context, plan, block_rows, costs.tile_rows);
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
