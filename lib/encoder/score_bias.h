// What attention adds to its scores, made once at load.
#pragma once

#include <memory>
#include <vector>

#include "lib/encoder/binder.h"
#include "lib/encoder/spec.h"

namespace padless {

class ScoreBias {
 public:
  /** `activations`: the dtype of the projected positions. kBadWeights as bind_weights. */
  static Result<ScoreBias> load(Engine& engine, const EncoderSpec& spec, DType activations,
                                WeightBinder& binder);
  /** How often `load` reports progress through the binder. */
  static int64_t bind_steps(const EncoderSpec& spec);

  /** Of layers with LayerSpec::weights `number`; valid while this object lives. */
  AttentionBias of_layer(int64_t number) const;
  size_t bytes() const;

 private:
  struct Projections {
    std::shared_ptr<const DeviceTensor> keys, queries;  // [table_rows, heads * head_dim]
  };

  BiasSpec::Kind kind_ = BiasSpec::Kind::kNone;
  int64_t reach_ = 0;
  std::shared_ptr<const DeviceTensor> by_head_;  // slopes [heads] or relative [heads, 2 * reach + 1]
  std::shared_ptr<const DeviceTensor> rows_;     // i32 [2 * reach + 1]
  std::vector<Projections> layers_;              // by LayerSpec::weights

  friend class PositionProjector;
};

}  // namespace padless
