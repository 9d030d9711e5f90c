// How rows are cut into blocks and products into steps, as plain functions of shapes and cache sizes.
#pragma once

#include <cstdint>

#include "lib/engine/cpu/context.h"
#include "lib/engine/cpu/linear.h"

namespace padless {

/** Products of at least so many rows may go to kernels that are made for them (select_many_rows_kernel). */
constexpr int64_t kManyRows = 192;

/** Steps of a row whose parts of bf16 are kept at a time, a multiple of kPartSteps or all. */
int64_t choose_portion_steps(int64_t steps);

/** Steps of a row of bf16 that are made and read at a time, a multiple of kPartSteps or all. */
int64_t choose_chunk_steps(int64_t steps);

/** Rows of a block at most, of which L2 has to keep `row_bytes` each; `tiles`: products are those of tiles.
 */
int64_t choose_block_rows(const CacheSizes& caches, int64_t row_bytes, bool tiles);

/** What a program's products read, and how fast. */
struct ProductCosts {
  int64_t weight_bytes = 0;   // of all of them
  int64_t operand_bytes = 0;  // of the longest row
  int tile_rows = 1;          // the most rows that one of them computes at a time
  bool tiles = false;         // all are those of tiles, and none is in parts
};

/** Whether all threads should work on all rows and share each step's columns, rather than take blocks of
 * rows.
 */
bool shares_columns(int64_t rows, int threads, const ProductCosts& costs, const CacheSizes& caches);

/** Rows of each block but the last: at most `most_rows`, and such that all blocks are nearly equal. */
int64_t choose_even_rows(int64_t rows, int threads, int tile_rows, int64_t most_rows);

/** Steps of a panel that fit the cache which the kernel reads them from, together with what streams past. */
int64_t choose_block_steps(const CpuLinearWeight& weight, const CacheSizes& caches);

/** How a thread goes through its panels when all rows are one block. */
struct ColumnBlocking {
  int64_t steps;           // taken at a time over all rows
  int64_t fetch_distance;  // bytes from a weight that is multiplied to one that is fetched
  bool fetch_into_l1;      // rather than L2
};
ColumnBlocking choose_column_blocking(const CpuLinearWeight& weight, int64_t rows, const CacheSizes& caches);

}  // namespace padless
