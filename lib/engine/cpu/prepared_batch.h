// A batch as the CPU engine keeps it: the caller's arrays, and how attention is cut into tasks.
#pragma once

#include <memory>
#include <vector>

#include "lib/engine/cpu/attention/plan.h"
#include "lib/engine/engine.h"

namespace padless {

class CpuPreparedBatch final : public PreparedBatch {
 public:
  CpuPreparedBatch(const PackedBatch& batch, AttentionPlan attention, std::span<const TokenRows> token_rows)
      : batch_(batch), attention_(std::move(attention)) {
    for (const TokenRows& each : token_rows) {
      auto data = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(batch.tokens() * each.cols));
      each.fill(batch, data.get());
      token_rows_.push_back({std::move(data), each.cols});
    }
  }

  const PackedBatch& host() const override { return batch_; }
  const AttentionPlan& attention() const { return attention_; }
  Matrix token_rows(size_t index) const override {
    const auto& [data, cols] = token_rows_[index];
    return {data.get(), DType::kF32, batch_.tokens(), cols, cols};
  }

 private:
  struct Rows {
    std::unique_ptr<float[]> data;
    int64_t cols;
  };
  PackedBatch batch_;
  AttentionPlan attention_;
  std::vector<Rows> token_rows_;
};

}  // namespace padless
