// A batch without padding: token t of sequence b is row cu_seqlens[b] + t of every [T, ...] matrix.
#pragma once

#include <cstdint>
#include <span>

#include "lib/core/status.h"

namespace padless {

/** Host view. T tokens, B sequences; empty sequences are legal, so are T = 0 and B = 0. */
struct PackedBatch {
  std::span<const int32_t> ids;          // [T]
  std::span<const int32_t> positions;    // [T], position within the sequence, before the model's offset
  std::span<const int32_t> token_types;  // [T], or empty: all zero
  std::span<const int32_t> cu_seqlens;   // [B + 1]
  /** [B], or empty: all. Only the first tokens of a sequence, so many, are keys in attention; later ones see
   * them and are seen by none (ColBERT's query augmentation). */
  std::span<const int32_t> key_counts = {};

  int64_t tokens() const { return cu_seqlens.empty() ? 0 : cu_seqlens.back(); }
  int64_t sequences() const { return cu_seqlens.empty() ? 0 : static_cast<int64_t>(cu_seqlens.size()) - 1; }
};

/** cu_seqlens must start at 0, never decrease, and end at `tokens`; E_INVALID_ARGUMENT otherwise. */
Status check_cu_seqlens(std::span<const int32_t> cu_seqlens, int64_t tokens);

/** ids, positions and token types (or none) have an entry a token; E_INVALID_ARGUMENT otherwise. */
Status check_arrays(const PackedBatch& batch);

/** The longest sequence, 0 for none. */
int64_t max_length(std::span<const int32_t> cu_seqlens);

}  // namespace padless
