// How a workspace is cut into a block's parts and each thread's memory for products.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/engine/cpu/rows/block.h"

namespace padless {

class BlockLayout {
 public:
  /** Accumulators are those of whole tiles of `tile_rows`. */
  BlockLayout(const RowPlan& plan, int64_t block_rows, int tile_rows)
      : temporaries_(plan.temporary_bytes * whole_groups(block_rows)),
        operand_(plan.operand_bytes * whole_groups(block_rows)),
        row_values_((block_rows * 4 + 63) / 64 * 64),
        scratch_(plan.scratch_bytes),
        accumulators_(plan.accumulator_bytes * ((block_rows + tile_rows - 1) / tile_rows * tile_rows)) {}

  size_t block_bytes() const { return static_cast<size_t>(temporaries_ + operand_ + 2 * row_values_); }
  /** Of one thread. */
  size_t thread_bytes() const { return static_cast<size_t>(scratch_ + accumulators_); }

  BlockMemory memory(char* base) const {
    BlockMemory memory;
    memory.temporaries = base;
    memory.operand = base + temporaries_;
    memory.operand_scale = reinterpret_cast<float*>(memory.operand + operand_);
    memory.operand_zero_point = reinterpret_cast<int32_t*>(memory.operand + operand_ + row_values_);
    return memory;
  }

  ProductMemory product_memory(char* base, int thread) const {
    char* own = base + block_bytes() + thread_bytes() * static_cast<size_t>(thread);
    return {own, own + scratch_};
  }

 private:
  int64_t temporaries_;
  int64_t operand_;
  int64_t row_values_;
  int64_t scratch_;
  int64_t accumulators_;
};

}  // namespace padless
