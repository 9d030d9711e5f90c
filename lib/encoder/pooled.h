// What a forward makes of whole sequences, on the device: part of a recorded forward.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "lib/encoder/row_blocks.h"
#include "lib/engine/engine.h"

namespace padless {

/** The outputs of one row a sequence that need nothing from the host but the batch. */
struct PooledOutputs {
  bool pooler = false, embedding = false, logits = false;
  // Of the embedding, as ForwardRequest has them.
  std::vector<PoolMode> pooling;
  int64_t dimensions = 0;
  bool normalize = false;

  auto operator<=>(const PooledOutputs&) const = default;
};

/** Where they lie: f32 [PreparedBatch::pooled_rows(), ...]; without memory where nothing was asked for. */
struct PooledRows {
  OwnedMatrix first, pooler;         // [hidden size]: the first token's row; dense and tanh of it
  OwnedMatrix pooled, embedding;     // before and behind the head, which not every spec has
  OwnedMatrix normalized;            // of the columns that are kept
  OwnedMatrix logits_input, logits;  // [hidden size], [width]

  size_t bytes() const;
};

}  // namespace padless
