#include "lib/engine/engine.h"

#include <algorithm>

namespace padless {

Status check_key_counts(const PackedBatch& batch, const AttentionBias& bias) {
  if (batch.key_counts.empty()) return Status::ok();
  PADLESS_CHECK(static_cast<int64_t>(batch.key_counts.size()) == batch.sequences(), Code::kInvalidArgument,
                "keyCounts", "keyCounts has ", batch.key_counts.size(), " entries for ", batch.sequences(),
                " sequences");
  for (int64_t b = 0; b < batch.sequences(); ++b) {
    const int32_t length = batch.cu_seqlens[b + 1] - batch.cu_seqlens[b];
    PADLESS_CHECK(batch.key_counts[b] >= std::min(length, 1) && batch.key_counts[b] <= length,
                  Code::kInvalidArgument, "keyCounts", "keyCounts[", b, "] is ", batch.key_counts[b],
                  "; the sequence has ", length, " tokens, of which at least one must be seen");
  }
  PADLESS_CHECK(!bias.alibi_slopes && !bias.relative && !bias.relative_rows, Code::kUnsupported, "keyCounts",
                "tokens that are no keys are not supported where attention is biased by distance");
  return Status::ok();
}

}  // namespace padless
