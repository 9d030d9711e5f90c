// Some sequences of a packed batch as a batch of their own.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lib/core/packed_batch.h"

namespace padless {

/**
 * Where to cut a batch into runs of whole sequences with about `most_tokens` tokens each, all of nearly equal
 * size: rising indices of sequences from 0 to B. One run where `most_tokens` is 0 or holds everything.
 */
std::vector<int64_t> cut_sequences(std::span<const int32_t> cu_seqlens, int64_t most_tokens);

/** A view of sequences [begin, end) of `batch`, whose arrays must stay. */
class BatchSlice {
 public:
  BatchSlice(const PackedBatch& batch, int64_t begin, int64_t end);
  BatchSlice(const BatchSlice&) = delete;
  BatchSlice& operator=(const BatchSlice&) = delete;

  const PackedBatch& batch() const { return batch_; }
  /** The row of its first token in the whole batch. */
  int64_t first_token() const { return first_token_; }

 private:
  int64_t first_token_;
  std::vector<int32_t> cu_seqlens_;
  PackedBatch batch_;
};

}  // namespace padless
