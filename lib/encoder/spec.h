// What an encoder computes, as data. TypeScript derives it from config.json; native code never sees a model's
// name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/core/status.h"
#include "lib/engine/engine.h"

namespace padless {

struct NormSpec {
  NormKind kind = NormKind::kLayer;
  float eps = 1e-12f;
};

/**
 * Rows of the position table are positions + offset; `rows == 0`: the model has no position table. With a
 * pad id, a token of that id takes row `offset - 1` and is not counted.
 */
struct PositionSpec {
  int64_t rows = 0;
  int64_t offset = 0;
  int64_t pad_id = -1;  // -1: ids do not matter
};

/** A layer of the pooled head: dense [in -> out] with activation, or L2 normalisation. */
struct HeadStep {
  enum class Kind { kDense, kNormalize };
  Kind kind = Kind::kNormalize;
  std::string weights;  // canonical prefix of a dense step's tensors, "head.0"
  int64_t in_features = 0;
  int64_t out_features = 0;
  Activation activation = Activation::kNone;
};

struct EncoderSpec {
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  AttentionShape attention;
  float attention_scale = 0;
  int64_t intermediate_size = 0;
  Activation activation = Activation::kGeluErf;
  int64_t vocab_size = 0;
  PositionSpec positions;
  int64_t token_types = 0;  // rows of the token-type table; 0: none
  NormSpec norm;
  bool pooler = false;            // dense + tanh on the first token of a sequence
  std::vector<PoolMode> pooling;  // concatenated; empty: no sentence embedding
  std::vector<HeadStep> head;     // what follows the pooling
  ComputeType compute = ComputeType::kF32;

  /** The longest sequence the position table has rows for; INT32_MAX where there is no table. */
  int64_t max_length() const;
};

/** Asserts again what TypeScript has checked with the config's field names. */
Status validate(const EncoderSpec& spec);

}  // namespace padless
