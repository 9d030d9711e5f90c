#include "lib/engine/cpu/rows/blocking.h"

#include <algorithm>

namespace padless {
namespace {

// A block reads every weight once from beyond L2, a row tile once from L2: with this many rows the weights'
// share of the last level's bandwidth is small; more rows only spread the block's own data over more cache.
constexpr int64_t kBlockRows = 128;
// Products on tiles outrun that bandwidth: their weights want as many rows as L2 holds beside a panel.
constexpr int64_t kMostTileBlockRows = 384;
// Bytes of weights whose reading takes a thread as long as what columns cost it for one of its rows: what it
// fetches from other threads' caches, and its part of the meetings. Without tiles most of the reading hides
// behind the products. docs/kernels.md, "Small batches", has what both follow from.
constexpr int64_t kWeightBytesARow = 576 * 1024;
constexpr int64_t kWeightBytesATileRow = 64 * 1024;

// Rows of this many steps are converted at once, and so right after a norm; longer ones in portions of about
// half of it, since L2 has to keep the portion of every row of a block.
constexpr int64_t kMostPortionSteps = 1024;

// Of kMostTileBlockRows they take a quarter of the 2 MiB of L2 that chips with tiles have; shorter chunks
// take sums through memory more often.
constexpr int64_t kMostChunkSteps = 384;

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

/** At most as many steps of a panel as `room` bytes hold, such that all blocks are nearly equal. */
int64_t even_steps(const CpuLinearWeight& weight, size_t room) {
  const PanelLayout& layout = weight.layout();
  const int64_t step_bytes = layout.bytes_total() / (layout.steps() * layout.panels());
  const int64_t most = std::max<int64_t>(64, static_cast<int64_t>(room) / std::max<int64_t>(1, step_bytes));
  const int64_t blocks = (layout.steps() + most - 1) / most;
  return (layout.steps() + blocks - 1) / blocks;
}

/** Nearly equal shares of `steps`, none much longer than `most`. */
int64_t even_portion(int64_t steps, int64_t most) {
  const int64_t portions = (steps + most - 1) / most;
  return round_up((steps + portions - 1) / portions, kPartSteps);
}

}  // namespace

int64_t choose_block_rows(const CacheSizes& caches, int64_t row_bytes, bool tiles) {
  if (!tiles) return kBlockRows;
  const int64_t fit = static_cast<int64_t>(caches.l2 / 8 * 5) / std::max<int64_t>(1, row_bytes);
  return std::clamp(fit, kBlockRows, kMostTileBlockRows);
}

int64_t choose_portion_steps(int64_t steps) {
  return steps <= kMostPortionSteps ? steps : even_portion(steps, kMostPortionSteps / 2);
}

int64_t choose_chunk_steps(int64_t steps) {
  return steps <= kMostChunkSteps ? steps : std::min(steps, even_portion(steps, kMostChunkSteps));
}

bool shares_columns(int64_t rows, int threads, const ProductCosts& costs, const CacheSizes& caches) {
  if (threads <= 1) return false;
  if (rows < int64_t{threads} * costs.tile_rows) return true;
  // Every thread reads all rows of an operand for each of its panels: L2 has to keep them, and what passes.
  const int64_t kept = static_cast<int64_t>(caches.l2 / 4 * 3) / std::max<int64_t>(1, costs.operand_bytes);
  const int64_t row_bytes = costs.tiles ? kWeightBytesATileRow : kWeightBytesARow;
  return rows < std::min(kept, threads * costs.weight_bytes / row_bytes);
}

int64_t choose_even_rows(int64_t rows, int threads, int tile_rows, int64_t most_rows) {
  // As many blocks as make whole turns of all threads.
  const int64_t blocks = round_up((rows + most_rows - 1) / most_rows, threads);
  const int64_t even = (rows + blocks - 1) / blocks;
  // In a single turn the longest block counts, not how many tiles are full.
  return blocks == threads ? even : round_up(even, tile_rows);
}

int64_t choose_block_steps(const CpuLinearWeight& weight, const CacheSizes& caches) {
  return even_steps(weight, weight.kernel().panel_in_l1 ? caches.l1d / 2 : caches.l2 / 8 * 5);
}

ColumnBlocking choose_column_blocking(const CpuLinearWeight& weight, int64_t rows, const CacheSizes& caches) {
  const GemmKernel& kernel = weight.kernel();
  const auto l1 = static_cast<int64_t>(caches.l1d);
  // Later rows find a block in L1, and what lies just ahead of it comes to L2 during all of them. In the same
  // order one tile after another would read it: fetched a panel ahead, lines came more slowly.
  if (!kernel.panel_in_l1) return {even_steps(weight, caches.l1d / 2), l1 / 3 * 2, false};
  // Tiles outrun memory. Weights that are read once go straight to L1: on a way through L2 each would wait in
  // a line fill buffer twice. Else the next block comes to L2 while this one meets its later rows.
  const bool once = rows <= kernel.tile_rows;
  return {even_steps(weight, caches.l1d / 3), once ? l1 / 6 : l1 / 3, once};
}

}  // namespace padless
