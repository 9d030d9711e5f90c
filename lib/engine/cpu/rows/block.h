// One block of rows on its way through a row program, and the parts of its steps that threads can share.
#pragma once

#include <cstdint>
#include <span>

#include "lib/engine/cpu/rows/plan.h"

namespace padless {

/** Memory of a block, sized by RowPlan's bytes a row times the block's rows. */
struct BlockMemory {
  char* temporaries = nullptr;
  char* operand = nullptr;
  float* operand_scale = nullptr;         // [rows]
  int32_t* operand_zero_point = nullptr;  // [rows]
};

/** Memory of a thread for products. */
struct ProductMemory {
  char* scratch = nullptr;
  char* sums = nullptr;
};

/** What a thread fetches during the product of a panel. */
struct PanelFetch {
  std::span<const char> memory;
  bool into_l1 = false;  // rather than L2
};

class RowBlock {
 public:
  /** Rows [first, first + rows) of the matrices. */
  RowBlock(const RowPlan& plan, int64_t first, int64_t rows, const BlockMemory& memory)
      : plan_(plan), first_(first), rows_(rows), memory_(memory) {}

  int64_t rows() const { return rows_; }

  /** Fills the operand buffer for rows [begin, end) of the block; nothing to do unless step.converts. */
  void convert_operand(const PlannedLinear& step, int64_t begin, int64_t end, const Portion& portion) const;
  /**
   * Computes a panel for all rows, once the operand is there, and fetches meanwhile. Of a product in
   * portions, `sums` holds the sums of all panels from one portion to the next. The rows of the result begin
   * with its column `first_column`.
   */
  void multiply(const PlannedLinear& step, int64_t panel, const Portion& portion, int64_t block_steps,
                const PanelFetch& fetch, const ProductMemory& memory, int64_t first_column = 0) const;
  /**
   * Takes rows [begin, end) through a step that is no product. If the next step is one that converts what
   * this one writes, the rows are converted while they are in L1.
   */
  void run_row_step(size_t step, int64_t begin, int64_t end) const;
  /** Whether run_row_step leaves the next product nothing to convert. */
  bool converts_after(size_t step) const { return converting_reader(step) != nullptr; }

 private:
  const PlannedLinear* converting_reader(size_t step) const;
  /** With the extents of rows from `begin` on, if they are known. */
  void convert_rows(const PlannedLinear& step, int64_t begin, int64_t end, const Portion& portion,
                    const RowExtent* extents) const;
  /** `extents`: those of the results, from `begin` on, or null. */
  void normalize(const PlannedNorm& step, int64_t begin, int64_t end, RowExtent* extents) const;
  void rotate(const PlannedRope& step, int64_t begin, int64_t end) const;
  /** The block's first row. */
  char* first_row(Slot slot) const;
  RowLayout layout(Slot slot) const;
  float* slot_row(Slot slot, int64_t row) const {
    return reinterpret_cast<float*>(first_row(slot) + layout(slot).offset(row));
  }
  bool is_bf16(Slot slot) const { return plan_.slots[static_cast<size_t>(slot)].bf16; }
  int64_t slot_stride(Slot slot) const { return plan_.slots[static_cast<size_t>(slot)].stride; }

  const RowPlan& plan_;
  const int64_t first_;
  const int64_t rows_;
  const BlockMemory memory_;
};

}  // namespace padless
