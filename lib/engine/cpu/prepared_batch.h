// A batch as the CPU engine keeps it: the caller's arrays, and how attention is cut into tasks.
#pragma once

#include "lib/engine/cpu/attention/plan.h"
#include "lib/engine/engine.h"

namespace padless {

class CpuPreparedBatch final : public PreparedBatch {
 public:
  CpuPreparedBatch(const PackedBatch& batch, AttentionPlan attention)
      : batch_(batch), attention_(std::move(attention)) {}
  const PackedBatch& host() const override { return batch_; }
  const AttentionPlan& attention() const { return attention_; }

 private:
  PackedBatch batch_;
  AttentionPlan attention_;
};

}  // namespace padless
