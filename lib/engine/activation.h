// Elementwise functions that a linear step applies to its result.
#pragma once

namespace padless {

enum class Activation { kNone, kGeluErf, kGeluTanh, kRelu, kSilu, kTanh, kSigmoid };

}  // namespace padless
