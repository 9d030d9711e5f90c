// In what order a block of rows goes through the steps of a plan, and how much of a product at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lib/engine/cpu/rows/plan.h"

namespace padless {

/** A step that is no product, or panels [begin, end) of one over a portion of its steps. */
struct Part {
  size_t step = 0;
  Portion portion{};
  int64_t begin = 0;
  int64_t end = 0;
  int64_t first_column = 0;  // of the result: column 0 of the rows that hold a chunk of it
};

/**
 * Where a product's rows of bf16 are read by the next product alone, they are made and read a chunk of
 * columns at a time, so that only a chunk of each row need stay in L2, and a block can have more rows: it is
 * blocks that read the weights from beyond. For threads that take whole blocks.
 */
void take_in_chunks(RowPlan& plan);

/** Everything that a block goes through. */
std::vector<Part> parts_of(const RowPlan& plan);

/** What is read first of a part; nothing of a step that is no product. */
std::span<const char> first_panel(const RowPlan& plan, const Part& part);

}  // namespace padless
