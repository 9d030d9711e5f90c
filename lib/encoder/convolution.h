// The convolution of DeBERTa v2 xlarge as a linear layer over windows of rows.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "lib/encoder/binder.h"
#include "lib/encoder/spec.h"

namespace padless {

/**
 * The stored weight [hidden, hidden / groups, kernel] as a linear layer [hidden, kernel * hidden]: inputs are
 * the window's rows one after another, zeros in the weight where an output does not see another group's
 * input.
 */
Result<std::shared_ptr<const LinearWeight>> bind_convolution(const EncoderSpec& spec, WeightBinder& binder);

/** For each token the row `shift` after it, or -1 beyond its sequence. */
std::vector<int32_t> shifted_rows(std::span<const int32_t> cu_seqlens, int64_t shift);

}  // namespace padless
