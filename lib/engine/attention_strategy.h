// How a GPU cuts the attention over a batch into launches. Of these options bits depend only on which kernel
// computes a sequence, and that follows from the sequence's own length.
#pragma once

#include <cstdint>
#include <vector>

namespace padless {

enum class AttentionStrategy {
  kSingle,      // one launch of the kernel that takes any length
  kGrouped,     // one launch a length bucket, each of the kernel made for it, forked over streams
  kPersistent,  // one launch of as many blocks as fit, which fetch tiles by an atomic counter
  kAuto,        // what was the fastest on the device, or a guess: cuda/attention/auto_plan.h
};

struct AttentionPlanOptions {
  AttentionStrategy strategy = AttentionStrategy::kAuto;
  std::vector<int64_t> bucket_edges = {64, 128,
                                       256};  // grouped: lengths up to each edge form a group; ascending
  int streams = 4;                            // grouped and auto: the call's own and side streams
  /** Given both, each group is padded with empty tiles to the tiles that it may have in any batch of so many
   * tokens and sequences: batches with the same groups then have the same launches. */
  int64_t token_capacity = 0, sequence_capacity = 0;
};

}  // namespace padless
