// NaN and infinity in a weight poison every result without a word; they are refused at the door.
#pragma once

#include <string>

#include "lib/core/status.h"
#include "lib/engine/weights.h"

namespace padless {

/**
 * kBadWeights, with `name` as field and the first offender's index in the message, if `tensor` (f32, f16 or
 * bf16) holds NaN or infinity. The data may be unaligned. Integers pass.
 */
Status check_finite(const HostTensor& tensor, const std::string& name);

}  // namespace padless
