// The row programs between the attentions of an encoder.
#pragma once

#include <vector>

#include "lib/encoder/spec.h"
#include "lib/encoder/weights.h"
#include "lib/engine/row_program.h"

namespace padless {

/** Matrices bound to every program of the layers; rope table i is kRope + i. */
enum Binding : int { kHidden, kQkv, kContext, kEmbedding, kWindow, kConvolved, kAdapted, kMixed, kRope };

struct LayerPrograms {
  /** [i]: from the context of attention i - 1 (0: from the embeddings) to what attention i reads. */
  std::vector<RowProgram> between;
  /** [i]: the same, to the result of an encoder that ends after i layers. */
  std::vector<RowProgram> last;
  /** From windows of embeddings to what is added to the first layer's result; empty without a convolution. */
  RowProgram convolution;
};

/** `adapter`: what is added to the products, or null. */
LayerPrograms build_programs(const EncoderSpec& spec, const EncoderWeights& weights, const Adapter* adapter);

}  // namespace padless
