#include "lib/engine/cpu/rows/parts.h"

#include <algorithm>

#include "lib/engine/cpu/rows/blocking.h"

namespace padless {
namespace {

bool uses(const PlannedStep& step, Slot slot) {
  if (const auto* linear = std::get_if<PlannedLinear>(&step)) {
    return linear->in == slot || linear->out == slot || linear->residual == slot;
  }
  if (const auto* norm = std::get_if<PlannedNorm>(&step)) {
    return norm->in == slot || norm->out == slot || norm->residual == slot || norm->add == slot;
  }
  const auto& rope = std::get<PlannedRope>(step);
  return rope.data == slot || rope.table == slot;
}

/** The product that reads what step `made` writes, if that is rows of bf16 in tiles and nothing else uses
 * them; null otherwise. */
PlannedLinear* only_reader(RowPlan& plan, size_t made) {
  const auto* maker = std::get_if<PlannedLinear>(&plan.steps[made]);
  if (!maker || made + 1 == plan.steps.size() || maker->in_portions()) return nullptr;
  auto* reader = std::get_if<PlannedLinear>(&plan.steps[made + 1]);
  if (!reader || reader->in != maker->out || reader->residual == maker->out || reader->converts)
    return nullptr;
  const PlannedSlot& slot = plan.slots[static_cast<size_t>(maker->out)];
  if (slot.matrix || !slot.tiled) return nullptr;
  const auto used = [&](const PlannedStep& step) { return uses(step, maker->out); };
  return std::count_if(plan.steps.begin(), plan.steps.end(), used) == 2 ? reader : nullptr;
}

/** Appends the portions of step `reader`, each after the panels of the step before that make its rows. */
void append_chunks(const RowPlan& plan, size_t reader, std::vector<Part>& parts) {
  const auto& made = std::get<PlannedLinear>(plan.steps[reader - 1]);
  const auto& linear = std::get<PlannedLinear>(plan.steps[reader]);
  const PanelLayout& panels = made.weight->layout();
  const PanelLayout& layout = linear.weight->layout();
  int64_t panel = 0;
  for (int64_t first = 0; first < layout.steps(); first += linear.portion_steps) {
    const Portion portion = linear.portion(first);
    const int64_t column = first * linear.kernel->group;
    const int64_t end_column = column + portion.count * linear.kernel->group;
    int64_t end = panel;
    while (end < panels.panels() && panels.first_column(end) < end_column) ++end;
    parts.push_back({reader - 1, made.portion(0), panel, end, column});
    parts.push_back({reader, portion, 0, layout.panels(), 0});
    panel = end;
  }
}

}  // namespace

void take_in_chunks(RowPlan& plan) {
  for (size_t step = 0; step < plan.steps.size(); ++step) {
    PlannedLinear* reader = only_reader(plan, step);
    if (!reader) continue;
    const PanelLayout& layout = reader->weight->layout();
    const int64_t steps = choose_chunk_steps(layout.steps());
    if (steps == layout.steps()) continue;
    auto& maker = std::get<PlannedLinear>(plan.steps[step]);
    maker.in_chunks = true;
    reader->portion_steps = steps;
    plan.slots[static_cast<size_t>(maker.out)].stride = steps * reader->kernel->group;
    plan.accumulator_bytes =
        std::max(plan.accumulator_bytes, panel_sum_bytes(*reader->kernel) * (layout.panels() + 1));
  }
  place_temporaries(plan);
}

std::vector<Part> parts_of(const RowPlan& plan) {
  std::vector<Part> parts;
  for (size_t step = 0; step < plan.steps.size(); ++step) {
    const auto* linear = std::get_if<PlannedLinear>(&plan.steps[step]);
    if (!linear) {
      parts.push_back({.step = step});
    } else if (linear->in_chunks) {
      append_chunks(plan, ++step, parts);
    } else {
      const PanelLayout& layout = linear->weight->layout();
      for (int64_t first = 0; first < layout.steps(); first += linear->portion_steps) {
        parts.push_back({step, linear->portion(first), 0, layout.panels(), 0});
      }
    }
  }
  return parts;
}

std::span<const char> first_panel(const RowPlan& plan, const Part& part) {
  const auto* linear = std::get_if<PlannedLinear>(&plan.steps[part.step]);
  if (!linear || part.begin == part.end) return {};
  return linear->weight->panel_bytes(part.begin, part.portion.first, part.portion.count);
}

}  // namespace padless
