// Low-rank additions to the weights (LoRA), applied while a forward runs: tasks share all that is large.
#pragma once

#include <memory>
#include <vector>

#include "lib/encoder/binder.h"
#include "lib/encoder/spec.h"

namespace padless {

/** Adds up(down(x)) to a product of x; the scale is in `up`. Both null: adds nothing. */
struct LowRank {
  std::shared_ptr<const LinearWeight> down, up;
};

struct LayerAdapter {
  LowRank qkv, output, up, down;
};

/** What one task adds. */
struct Adapter {
  std::shared_ptr<const DeviceTensor> word;        // [vocabulary, rank]: a word's row times ...
  std::shared_ptr<const LinearWeight> word_up;     // ... this is added to its embedding
  std::shared_ptr<const DeviceTensor> token_type;  // the whole table, with what is added; null as the table
  std::vector<LayerAdapter> layers;                // by LayerSpec::weights
  LowRank pooler;

  size_t bytes() const;
};

/** How often bind_adapters reports progress. */
int64_t adapter_bind_steps(const EncoderSpec& spec);

/** kBadWeights as bind_weights. */
Result<std::vector<Adapter>> bind_adapters(const EncoderSpec& spec, WeightBinder& binder);

}  // namespace padless
