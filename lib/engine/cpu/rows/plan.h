// A row program checked against its matrices and made ready for running: kernels chosen, memory laid out.
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "lib/core/status.h"
#include "lib/engine/cpu/context.h"
#include "lib/engine/cpu/linear.h"
#include "lib/engine/cpu/rows/norm_kernel.h"
#include "lib/engine/cpu/rows/rope_kernel.h"
#include "lib/engine/row_program.h"

namespace padless {

/** Where a slot's rows are: in a bound matrix, or at `offset` bytes a row of the block's temporaries. */
struct PlannedSlot {
  char* matrix = nullptr;        // row 0 of the bound matrix; null: a temporary
  bool bf16 = false;             // not f32: only products use it
  int64_t stride = 0;            // elements
  bool tiled = false;            // rows of bf16 in tiles
  int64_t temporary_offset = 0;  // bytes a row of the block
};

/** Steps of a product that are taken at a time: `count` from `first` on. */
struct Portion {
  int64_t first;
  int64_t count;
};

struct PlannedLinear {
  const CpuLinearWeight* weight = nullptr;
  const GemmKernel* kernel = nullptr;
  Slot in = kNoSlot;
  Slot out = kNoSlot;
  Slot residual = kNoSlot;
  Activation activation = Activation::kNone;
  bool residual_first = false;
  bool converts = false;  // rows of `in` go through an operand buffer first
  // That the operand buffer holds at a time: all, unless its rows would be too long.
  int64_t portion_steps = 0;
  RowLayout operand_rows;
  // Its rows, which the next product alone reads, hold the columns of one of that product's portions.
  bool in_chunks = false;

  bool in_portions() const { return portion_steps < weight->layout().steps(); }
  /** The portion that begins with step `first`. */
  Portion portion(int64_t first) const {
    const int64_t left = weight->layout().steps() - first;
    return {first, portion_steps < left ? portion_steps : left};
  }
};

struct PlannedNorm {
  void (*normalize)(const NormTask&) = nullptr;
  Slot in = kNoSlot;
  Slot out = kNoSlot;
  Slot residual = kNoSlot;
  Slot add = kNoSlot;
  int64_t first_column = 0;
  int64_t groups = 1;   // of columns that are normed on their own, one after another
  int64_t columns = 0;  // of a group
  const float* gamma = nullptr;
  const float* beta = nullptr;
  float eps = 0;
};

struct PlannedRope {
  RopeKernel rotate = nullptr;
  Slot data = kNoSlot;
  Slot table = kNoSlot;
  int64_t first_column = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;
  int64_t rotary_dim = 0;
  bool interleaved = false;
};

using PlannedStep = std::variant<PlannedLinear, PlannedNorm, PlannedRope>;

struct RowPlan {
  std::vector<PlannedSlot> slots;
  std::vector<PlannedStep> steps;
  const CpuLinearWeight* next = nullptr;  // RowProgram::next
  int64_t temporary_bytes = 0;            // a row: all temporaries
  int64_t operand_bytes = 0;              // a row of the operand buffer, for the step that needs most
  int64_t accumulator_bytes = 0;  // a row of the widest panel, and of all panels of a product in portions
  int64_t scratch_bytes = 0;      // of the kernel that needs most
  int64_t rows = 0;
};

/** Lays temporaries out one behind the other, by their strides. */
void place_temporaries(RowPlan& plan);

/** E_INVALID_ARGUMENT naming the step where shapes, dtypes, slots or kernels do not fit. */
Result<RowPlan> plan_rows(const CpuContext& context, const RowProgram& program,
                          std::span<const Matrix> matrices, int64_t rows);

}  // namespace padless
