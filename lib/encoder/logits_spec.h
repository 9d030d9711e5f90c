// What a checkpoint's task head computes from the last hidden state, as data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/core/status.h"
#include "lib/engine/engine.h"

namespace padless {

/** A layer of a task head: dense [in -> out] with activation, a norm over its columns, or L2 normalisation.
 */
struct LogitsStep {
  enum class Kind { kDense, kNorm, kL2Normalize };
  Kind kind = Kind::kDense;
  std::string weights;  // canonical prefix of its tensors, "logits.0"
  int64_t in_features = 0;
  int64_t out_features = 0;
  Activation activation = Activation::kNone;
  /** Dense: the rows of a weight of `stored_features` rows that make the outputs; empty: all of them. */
  std::vector<int32_t> rows;
  int64_t stored_features = 0;
  NormKind norm = NormKind::kLayer;
  float eps = 1e-12f;
};

struct LogitsSpec {
  /** What a row of logits is computed from: every token, or one vector of each sequence. */
  enum class Source { kTokens, kPooled };
  Source source = Source::kTokens;
  PoolMode pooling = PoolMode::kCls;
  /** With kLastToken: trailing tokens of this id do not count (transformers' score heads); -1: all do. */
  int32_t skip_id = -1;
  /** With kTokens: the logits of a sequence are the mean of those of its tokens (EuroBERT's "late"). */
  bool mean = false;
  std::vector<LogitsStep> steps;  // the last one is no norm

  /** Columns of the logits. */
  int64_t width() const { return steps.back().out_features; }
  /** Whether every token has a row of logits, or every sequence. */
  bool per_token() const { return source == Source::kTokens && !mean; }
};

/** Asserts again what TypeScript has checked: each step takes what the one before gives. */
Status validate(const LogitsSpec& spec, int64_t hidden_size);

}  // namespace padless
