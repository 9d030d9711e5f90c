// The activations of one forward, kept between forwards.
#pragma once

#include <memory>

#include "lib/encoder/encoder.h"

namespace padless {

/** Matrices bound to every layer program. */
enum Binding : int { kHidden, kQkv, kContext, kBindings };

struct Encoder::Workspace {
  int64_t capacity = 0;  // tokens
  std::unique_ptr<Buffer> buffers[kBindings];
  Matrix matrices[kBindings];  // rows are set to the batch's tokens
};

}  // namespace padless
