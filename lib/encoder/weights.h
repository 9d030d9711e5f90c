// An encoder's tensors in an engine's layout.
#pragma once

#include <memory>
#include <vector>

#include "lib/encoder/adapters.h"
#include "lib/encoder/binder.h"
#include "lib/encoder/spec.h"
#include "lib/engine/row_program.h"

namespace padless {

/** Both null where the spec has no such norm; beta null where the checkpoint has none. */
struct NormWeights {
  std::shared_ptr<const DeviceTensor> gamma, beta;
};

/** What the layers with one LayerSpec::weights share. */
struct LayerWeights {
  std::shared_ptr<const LinearWeight> qkv, output, up, down;  // up: gate and up of a GLU
  std::shared_ptr<const LinearWeight> router;  // of a layer with experts, which has no up and down
  std::vector<Expert> experts;
  std::shared_ptr<const DeviceTensor> experts_bias;
  NormWeights attention_norm, mlp_norm;      // placement post: after the residual sum; others: of the input
  NormWeights attention_result, mlp_result;  // sandwich: of the block's result
  std::shared_ptr<const DeviceTensor> query_gamma, key_gamma;
};

struct EncoderWeights {
  std::shared_ptr<const DeviceTensor> word, position, token_type;
  NormWeights embedding_norm, final_norm, convolution_norm;
  std::shared_ptr<const LinearWeight> projection, convolution;
  std::vector<LayerWeights> layers;  // by LayerSpec::weights; empty ones where no layer has the number
  std::vector<Adapter> adapters;     // bound by bind_adapters

  size_t bytes() const;
};

/** How often bind_weights reports progress. */
int64_t bind_steps(const EncoderSpec& spec);

/** kBadWeights naming the checkpoint's tensor where one is missing, of another shape or not finite. */
Result<EncoderWeights> bind_weights(const EncoderSpec& spec, WeightBinder& binder);

}  // namespace padless
