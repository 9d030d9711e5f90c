// A row program on too few rows to share them out: all threads go through its steps together.
#pragma once

#include "lib/core/status.h"
#include "lib/engine/cpu/context.h"
#include "lib/engine/cpu/rows/plan.h"

namespace padless {

/**
 * Each product's panels are shared out, so that all threads together read every weight once; rows are in the
 * other steps. Which thread computes what changes no bits. `tile_rows` is that of the highest tile.
 */
Status run_by_columns(const CpuContext& context, const RowPlan& plan, int tile_rows);

}  // namespace padless
