#include "lib/engine/cpu/rows/blocking.h"

#include <algorithm>

namespace padless {
namespace {

// A block reads every weight once from beyond L2, a row tile once from L2: with this many rows the weights'
// share of the last level's bandwidth is small; more rows only spread the block's own data over more cache.
constexpr int64_t kBlockRows = 128;
// Fewer rows a thread than this, and the same weights read by every thread cost more than meeting after each
// step.
constexpr int64_t kLeastBlockRows = 48;

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

RowSplit choose_row_split(int64_t rows, int threads, int tile_rows) {
  if (threads > 1 && rows < threads * kLeastBlockRows) return {.by_columns = true, .block_rows = rows};
  // As many blocks as make whole turns of all threads, all of nearly equal size.
  const int64_t blocks = round_up((rows + kBlockRows - 1) / kBlockRows, threads);
  return {.by_columns = false, .block_rows = round_up((rows + blocks - 1) / blocks, tile_rows)};
}

int64_t choose_block_steps(const PanelLayout& layout, const CacheSizes& caches) {
  const int64_t step_bytes = layout.bytes_total() / (layout.steps() * layout.panels());
  const int64_t most =
      std::max<int64_t>(64, static_cast<int64_t>(caches.l2) * 5 / 8 / std::max<int64_t>(1, step_bytes));
  const int64_t blocks = (layout.steps() + most - 1) / most;
  return (layout.steps() + blocks - 1) / blocks;
}

}  // namespace padless
