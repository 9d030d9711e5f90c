// The activations of one forward, kept between forwards.
#pragma once

#include <memory>
#include <vector>

#include "lib/encoder/programs.h"
#include "lib/encoder/rope.h"

namespace padless {

/** Memory in proportion to the tokens, for batches of up to `capacity` of them. */
class Workspace {
 public:
  /** Makes `matrices` ready for `tokens` rows; E_OUT_OF_MEMORY. */
  Status resize(Engine& engine, const EncoderSpec& spec, DType activations, int64_t tokens);

  /** By Binding. A matrix that the spec does not need has no data. */
  std::vector<Matrix> matrices;
  std::vector<float> rope_rows;  // in host memory, until the device has them

 private:
  int64_t capacity_ = 0;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

}  // namespace padless
