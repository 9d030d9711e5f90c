// The largest value of each column over the rows of each sequence, of rows that are computed block by block.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "lib/encoder/row_blocks.h"

namespace padless {

/** Gets f32 [width] of each sequence in order; zeros for a sequence without rows. */
using TakeMaxima = std::function<void(int64_t sequence, std::span<const float> maxima)>;

struct SequenceMaxArgs {
  const RowProgram& program;  // binding 0: a block of the source; 1: f32 [rows, width]
  int64_t width = 0;
  std::span<const int32_t> cu_seqlens;  // [B + 1], over the source's rows
};

/**
 * Runs `program` on blocks of rows and calls `take` in host memory. A maximum is the same whatever the
 * blocks, so a sequence may lie in several.
 */
Status sequence_max(Engine& engine, Stream& stream, const SequenceMaxArgs& args, RowSource& source,
                    const TakeMaxima& take, const KeepGoing& keep_going);

}  // namespace padless
