// Sequence lengths of a benchmark batch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cuda/bench/options.h"

namespace padless::cuda::bench {

/**
 * options.batch lengths of 1 to options.max_length whose mean is about ratio * max_length:
 *   uniform    evenly between two ends, the upper one max_length if the ratio is at least 0.5
 *   lognormal  sigma 0.6, as texts are; cut at max_length
 *   bimodal    a tenth of max_length or max_length, so mixed that the mean is right
 * Anything else is a file with one length a line, from 1 to max_length.
 */
Result<std::vector<int32_t>> make_lengths(const Options& options);

}  // namespace padless::cuda::bench
