// How rows are cut into blocks and products into steps, as plain functions of shapes and cache sizes.
#pragma once

#include <cstdint>

#include "lib/engine/cpu/context.h"
#include "lib/engine/cpu/linear.h"

namespace padless {

struct RowSplit {
  bool by_columns = false;  // all threads work on all rows and share each step's columns
  int64_t block_rows = 0;   // otherwise threads take blocks of so many rows
};

RowSplit choose_row_split(int64_t rows, int threads, int tile_rows);

/** Steps of a panel that fit L2 together with what streams past them. */
int64_t choose_block_steps(const PanelLayout& layout, const CacheSizes& caches);

}  // namespace padless
