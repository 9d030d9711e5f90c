#include "lib/engine/cpu/rows/by_columns.h"

#include <algorithm>
#include <deque>

#include "lib/core/read_ahead.h"
#include "lib/core/thread_pool.h"
#include "lib/core/work_shares.h"
#include "lib/engine/cpu/rows/block_layout.h"
#include "lib/engine/cpu/rows/blocking.h"
#include "lib/engine/cpu/rows/workspace.h"

namespace padless {
namespace {

/** The part of L2 that may hold weights of the next product while a thread waits for the end of this one. */
constexpr size_t kReadAheadOfL2 = 8;

/** What threads do between two points where they wait for each other. */
struct Stage {
  enum class Kind { kRows, kConversion, kProduct };
  Stage(Kind k, size_t s, Portion p, int64_t count, int threads)
      : kind(k), step(s), portion(p), items(count, threads) {}
  const Kind kind;
  const size_t step;
  const Portion portion;  // of a product or a conversion
  WorkShares items;       // panels of a product, else groups of kRowsInL1 rows
};

std::span<const char> panels_bytes(const CpuLinearWeight& weight, int64_t first, int64_t last) {
  const std::span<const char> end = weight.panel_bytes(last);
  return {weight.panel_bytes(first).data(), end.data() + end.size()};
}

/** As much as a panel has, from `distance` bytes after its beginning on, but nothing beyond panel `last`. */
std::span<const char> bytes_ahead(const CpuLinearWeight& weight, int64_t panel, int64_t last,
                                  int64_t distance) {
  const std::span<const char> rest = panels_bytes(weight, panel, last);
  const size_t from = std::min(rest.size(), static_cast<size_t>(distance));
  return rest.subspan(from, std::min(rest.size() - from, weight.panel_bytes(panel).size()));
}

class ColumnRun {
 public:
  ColumnRun(const CpuContext& context, const RowPlan& plan, const BlockLayout& layout, char* base)
      : context_(context),
        plan_(plan),
        block_(plan, 0, plan.rows, layout.memory(base)),
        layout_(layout),
        base_(base) {
    const int64_t groups = (plan.rows + kRowsInL1 - 1) / kRowsInL1;
    bool converted = false;
    for (size_t step = 0; step < plan.steps.size(); ++step) {
      const auto* linear = std::get_if<PlannedLinear>(&plan.steps[step]);
      if (!linear) {
        stages_.emplace_back(Stage::Kind::kRows, step, Portion{}, groups, context.threads);
        converted = block_.converts_after(step);
        continue;
      }
      const PanelLayout& panels = linear->weight->layout();
      for (int64_t first = 0; first < panels.steps(); first += linear->portion_steps) {
        const Portion portion = linear->portion(first);
        if (linear->converts && !converted) {
          stages_.emplace_back(Stage::Kind::kConversion, step, portion, groups, context.threads);
        }
        stages_.emplace_back(Stage::Kind::kProduct, step, portion, panels.panels(), context.threads);
      }
      converted = false;
    }
  }

  void run(int thread) {
    for (Stage& stage : stages_) {
      try {
        stage.items.finish(stage.kind == Stage::Kind::kProduct ? multiply(stage, thread)
                                                               : run_rows(stage, thread));
      } catch (...) {
        stage.items.give_up();
        throw;
      }
      if (!stage.items.await()) return;
    }
  }

 private:
  int64_t run_rows(Stage& stage, int thread) {
    int64_t done = 0;
    for (int64_t group = stage.items.take(thread); group >= 0; group = stage.items.take(thread), ++done) {
      const int64_t begin = group * kRowsInL1;
      const int64_t end = std::min(begin + kRowsInL1, plan_.rows);
      if (stage.kind == Stage::Kind::kConversion) {
        block_.convert_operand(std::get<PlannedLinear>(plan_.steps[stage.step]), begin, end, stage.portion);
      } else {
        block_.run_row_step(stage.step, begin, end);
      }
    }
    return done;
  }

  int64_t multiply(Stage& stage, int thread) {
    const auto& linear = std::get<PlannedLinear>(plan_.steps[stage.step]);
    const ColumnBlocking blocking = choose_column_blocking(*linear.weight, plan_.rows, context_.caches);
    const ItemRange share = share_of(linear.weight->layout().panels(), thread, context_.threads);
    const std::span<const char> next = first_bytes_after(stage.step, thread);
    ProductMemory memory = layout_.product_memory(base_, thread);
    // The next portion of a panel may be another thread's.
    if (linear.in_portions()) memory.sums = layout_.product_memory(base_, 0).sums;
    int64_t done = 0;
    for (int64_t panel = stage.items.take(thread); panel >= 0; panel = stage.items.take(thread), ++done) {
      // Of another's share nothing but the panel itself is this thread's to read.
      const int64_t last = share.begin <= panel && panel < share.end ? share.end - 1 : panel;
      std::span<const char> ahead = bytes_ahead(*linear.weight, panel, last, blocking.fetch_distance);
      if (ahead.empty()) ahead = next.first(std::min(next.size(), linear.weight->panel_bytes(panel).size()));
      block_.multiply(linear, panel, stage.portion, blocking.steps, {ahead, blocking.fetch_into_l1}, memory);
    }
    ReadAhead::of_thread().follow(next);
    return done;
  }

  /** What the thread reads first in the product that follows step `done`, in this program or after it. */
  std::span<const char> first_bytes_after(size_t done, int thread) const {
    const CpuLinearWeight* weight = plan_.next;
    for (size_t i = done + 1; i < plan_.steps.size(); ++i) {
      if (const auto* linear = std::get_if<PlannedLinear>(&plan_.steps[i])) {
        weight = linear->weight;
        break;
      }
    }
    if (!weight) return {};
    const ItemRange share = share_of(weight->layout().panels(), thread, context_.threads);
    if (share.empty()) return {};
    const std::span<const char> bytes = panels_bytes(*weight, share.begin, share.end - 1);
    return bytes.first(std::min(bytes.size(), context_.caches.l2 / kReadAheadOfL2));
  }

  const CpuContext& context_;
  const RowPlan& plan_;
  const RowBlock block_;
  const BlockLayout& layout_;
  char* const base_;
  std::deque<Stage> stages_;
};

}  // namespace

Status run_by_columns(const CpuContext& context, const RowPlan& plan, int tile_rows) {
  const BlockLayout layout(plan, plan.rows, tile_rows);
  char* base =
      thread_workspace(layout.block_bytes() + layout.thread_bytes() * static_cast<size_t>(context.threads));
  PADLESS_CHECK(base, Code::kOutOfMemory, "rows", "no memory for a block of ", plan.rows, " rows");
  ColumnRun run(context, plan, layout, base);
  ThreadPool::shared().run(context.threads, [&](int index, int) { run.run(index); });
  return Status::ok();
}

}  // namespace padless
