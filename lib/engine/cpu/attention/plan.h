// How the attention of a batch is cut into tasks: made once a batch, used by every layer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lib/engine/engine.h"

namespace padless {

/**
 * Queries [first_query, last_query) against KV heads [first_head, last_head), for each of the sequences
 * [first_sequence, last_sequence). More than one sequence: all heads and queries of short ones.
 */
struct AttentionTask {
  int32_t first_sequence = 0;
  int32_t last_sequence = 0;
  int32_t first_head = 0;
  int32_t last_head = 0;
  int32_t first_query = 0;
  int32_t last_query = 0;
  double cost = 0;  // multiply-adds
};

struct AttentionPlan {
  AttentionShape shape;
  std::vector<AttentionTask> tasks;  // by descending cost, so that the last to finish are small
};

/** A range of queries starts at a multiple of this, whatever the number of threads. */
inline constexpr int32_t kQueryAlignment = 48;

/** Plans for `threads` threads; which task computes what never changes a result. */
AttentionPlan plan_attention(std::span<const int32_t> cu_seqlens, const AttentionShape& shape, int threads);

}  // namespace padless
