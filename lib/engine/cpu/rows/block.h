// One block of rows on its way through a row program, and the parts of its steps that threads can share.
#pragma once

#include <cstdint>
#include <span>
#include <variant>

#include "lib/engine/cpu/rows/plan.h"

namespace padless {

/** Memory of a block, sized by RowPlan's bytes a row times the block's rows. */
struct BlockMemory {
  char* temporaries = nullptr;
  char* operand = nullptr;
  float* operand_scale = nullptr;         // [rows]
  int32_t* operand_zero_point = nullptr;  // [rows]
};

class RowBlock {
 public:
  /** Rows [first, first + rows) of the matrices. */
  RowBlock(const RowPlan& plan, int64_t first, int64_t rows, const BlockMemory& memory)
      : plan_(plan), first_(first), rows_(rows), memory_(memory) {}

  int64_t rows() const { return rows_; }

  /** Fills the operand buffer for rows [begin, end) of the block; nothing to do unless step.converts. */
  void convert_operand(const PlannedLinear& step, int64_t begin, int64_t end) const;
  /** Computes panels [begin, end) for all rows, once the operand is there; `after` is what the thread reads
   * next. */
  void multiply(const PlannedLinear& step, int64_t begin, int64_t end, int64_t block_steps,
                std::span<const char> after, void* accumulators) const;
  void normalize(const PlannedNorm& step, int64_t begin, int64_t end) const;
  void rotate(const PlannedRope& step, int64_t begin, int64_t end) const;

  /** A step that goes over rows [begin, end) one by one: a norm or a rotation. */
  void run_row_step(const PlannedStep& step, int64_t begin, int64_t end) const {
    if (const auto* norm = std::get_if<PlannedNorm>(&step)) normalize(*norm, begin, end);
    if (const auto* rope = std::get_if<PlannedRope>(&step)) rotate(*rope, begin, end);
  }

 private:
  /** Row `row` of the block. */
  char* row_bytes(Slot slot, int64_t row) const;
  float* slot_row(Slot slot, int64_t row) const { return reinterpret_cast<float*>(row_bytes(slot, row)); }
  bool is_bf16(Slot slot) const { return plan_.slots[static_cast<size_t>(slot)].bf16; }
  int64_t slot_stride(Slot slot) const { return plan_.slots[static_cast<size_t>(slot)].stride; }

  const RowPlan& plan_;
  const int64_t first_;
  const int64_t rows_;
  const BlockMemory memory_;
};

}  // namespace padless
