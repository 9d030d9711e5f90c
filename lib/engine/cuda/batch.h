// A batch on the device: its arrays and the attention's tiles, in one piece of memory that one copy fills.
#pragma once

#include <memory>

#include "lib/engine/cuda/stream.h"
#include "lib/engine/engine.h"

namespace padless::cuda {

class CudaBatch final : public PreparedBatch {
 public:
  /** The attention's plan depends on the head dim; ops other than attention take any. */
  static Result<std::unique_ptr<PreparedBatch>> create(CudaQueue& queue, const PackedBatch& batch,
                                                       const AttentionShape& shape,
                                                       const AttentionPlanOptions& options);

  const PackedBatch& host() const override { return host_; }
  const int32_t* ids() const { return ids_; }
  const int32_t* positions() const { return positions_; }
  const int32_t* token_types() const { return token_types_; }  // null: all 0
  const int32_t* cu_seqlens() const { return cu_seqlens_; }
  const AttentionTile* tiles() const { return tiles_; }
  const AttentionShape& shape() const { return shape_; }
  const AttentionPlan& plan() const { return plan_; }

 private:
  friend Result<const CudaBatch*> as_cuda_batch(const CudaDevice& device, const PreparedBatch& batch);

  const CudaDevice* device_ = nullptr;  // only to compare with
  PackedBatch host_;
  AttentionShape shape_;
  AttentionPlan plan_;
  std::unique_ptr<Buffer> memory_;
  const int32_t* ids_ = nullptr;
  const int32_t* positions_ = nullptr;
  const int32_t* token_types_ = nullptr;
  const int32_t* cu_seqlens_ = nullptr;
  const AttentionTile* tiles_ = nullptr;
};

/** E_INVALID_ARGUMENT if another engine prepared it. */
Result<const CudaBatch*> as_cuda_batch(const CudaDevice& device, const PreparedBatch& batch);

}  // namespace padless::cuda
