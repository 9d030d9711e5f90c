// The processor's own limits, measured by loops that touch registers only, or memory only.
#pragma once

#include "lib/engine/cpu/isa.h"
#include "lib/engine/weights.h"

namespace padless::bench {

/** The instruction of measure_roof: the one that the kernels of `isa` and `compute` multiply with. */
const char* roof_instruction(const CpuIsa& isa, ComputeType compute);

/**
 * Operations a second (a multiply and an add are two) that `threads` threads together reach in a loop of that
 * instruction on registers, over about `milliseconds`. 0 where this program has no such loop.
 */
double measure_roof(const CpuIsa& isa, ComputeType compute, int threads, double milliseconds);

/**
 * Bytes a second that `threads` threads together read from memory: sweeps of a block far beyond the caches,
 * each thread over its own part, for about `milliseconds`.
 */
double measure_read_bandwidth(int threads, double milliseconds);

}  // namespace padless::bench
