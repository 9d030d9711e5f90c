// The processor's own limits, measured by loops that touch registers only, or memory only.
#pragma once

#include "lib/engine/cpu/isa.h"
#include "lib/engine/weights.h"

namespace padless::bench {

/**
 * Operations a second (a multiply and an add are two) that `threads` threads together reach in a loop of the
 * widest dot-product instruction that `isa` has for `compute`, over about `milliseconds`. 0 where this
 * program has no such loop.
 */
double measure_roof(const CpuIsa& isa, ComputeType compute, int threads, double milliseconds);

/**
 * Bytes a second that `threads` threads together read from memory: sweeps of a block far beyond the caches,
 * each thread over its own part, for about `milliseconds`.
 */
double measure_read_bandwidth(int threads, double milliseconds);

}  // namespace padless::bench
