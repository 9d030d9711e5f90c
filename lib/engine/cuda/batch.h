// A batch on the device: its arrays and the attention's tiles, in one piece of memory that one copy fills.
#pragma once

#include <memory>
#include <vector>

#include "lib/engine/cuda/stream.h"
#include "lib/engine/engine.h"

namespace padless::cuda {

class CudaBatch final : public PreparedBatch {
 public:
  /** The attention's plan depends on the head dim; ops other than attention take any. */
  static Result<std::unique_ptr<PreparedBatch>> create(CudaQueue& queue, const PackedBatch& batch,
                                                       const AttentionShape& shape, const BatchLayout& layout,
                                                       AttentionPlanOptions options);

  /** Overwrites the batch in stream order; addresses stay. */
  Status refill(CudaQueue& queue, const PackedBatch& batch, std::span<const TokenRows> token_rows);

  const PackedBatch& host() const override { return host_; }
  int64_t rows() const override { return has_capacity() ? capacity_.tokens : host_.tokens(); }
  int64_t pooled_rows() const override { return has_capacity() ? capacity_.sequences : host_.sequences(); }
  uint32_t kernels() const override { return launches_; }
  Matrix token_rows(size_t index) const override;
  size_t bytes() const override { return memory_->bytes(); }

  const int32_t* ids() const { return at<int32_t>(places_.ids); }
  const int32_t* positions() const { return at<int32_t>(places_.positions); }
  const int32_t* token_types() const { return at<int32_t>(places_.token_types); }
  const int32_t* cu_seqlens() const { return at<int32_t>(places_.cu_seqlens); }
  /** [sequences]: of a batch without counts, the lengths. */
  const int32_t* key_counts() const { return at<int32_t>(places_.key_counts); }
  /** The true number of tokens where rows() is a capacity, or null. */
  const int32_t* tokens_on_device() const { return has_capacity() ? at<int32_t>(places_.tokens) : nullptr; }
  /** For a persistent plan: 0 between launches. */
  uint32_t* attention_counter() const { return const_cast<uint32_t*>(at<uint32_t>(places_.counter)); }
  const AttentionTile* tiles() const { return at<AttentionTile>(places_.tiles); }
  const AttentionShape& shape() const { return shape_; }
  const AttentionPlan& plan() const { return plan_; }

 private:
  friend Result<const CudaBatch*> as_cuda_batch(const CudaDevice& device, const PreparedBatch& batch);

  /** Offsets in memory_, and in what is copied there. */
  struct Places {
    size_t tokens = 0, ids = 0, positions = 0, token_types = 0, cu_seqlens = 0, key_counts = 0, counter = 0;
    std::vector<size_t> token_rows;
    size_t tiles = 0;
  };

  bool has_capacity() const { return capacity_.tokens > 0; }
  template <class T>
  const T* at(size_t offset) const {
    return reinterpret_cast<const T*>(static_cast<const std::byte*>(memory_->data()) + offset);
  }
  Status plan(CudaQueue& queue, const PackedBatch& batch);
  void lay_out(std::span<const TokenRows> token_rows);
  Status fill(CudaQueue& queue, std::span<const TokenRows> token_rows);
  void write_key_counts(std::byte* to) const;

  const CudaDevice* device_ = nullptr;  // only to compare with
  PackedBatch host_;
  BatchCapacity capacity_;
  AttentionShape shape_;
  AttentionPlanOptions options_;
  AttentionPlan plan_;
  std::vector<std::vector<AttentionGroup>> known_launches_;
  uint32_t launches_ = 0;  // the plan's groups are known_launches_[launches_]
  int64_t tile_room_ = 0;
  Places places_;
  std::vector<int64_t> token_row_cols_;
  std::unique_ptr<Buffer> memory_;
};

/** E_INVALID_ARGUMENT if another engine prepared it. */
Result<const CudaBatch*> as_cuda_batch(const CudaDevice& device, const PreparedBatch& batch);

}  // namespace padless::cuda
