#include "lib/engine/cuda/batch.h"

#include <cstring>
#include <utility>

namespace padless::cuda {
namespace {

/** Arrays behind each other in a staging block, each 16-byte aligned. */
class Staging {
 public:
  template <class T>
  size_t add(std::span<const T> array) {
    const size_t offset = bytes_;
    parts_.push_back({offset, array.data(), array.size_bytes()});
    bytes_ += (array.size_bytes() + 15) / 16 * 16;
    return offset;
  }
  size_t bytes() const { return bytes_; }
  void write(std::byte* to) const {
    for (const Part& part : parts_) {
      if (part.bytes > 0) std::memcpy(to + part.offset, part.data, part.bytes);
    }
  }

 private:
  struct Part {
    size_t offset;
    const void* data;
    size_t bytes;
  };
  std::vector<Part> parts_;
  size_t bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<PreparedBatch>> CudaBatch::create(CudaQueue& queue, const PackedBatch& batch,
                                                         const AttentionShape& shape,
                                                         const AttentionPlanOptions& options) {
  PADLESS_RETURN_IF_ERROR(check_arrays(batch));
  auto made = std::make_unique<CudaBatch>();
  made->device_ = queue.context().device.get();
  made->host_ = batch;
  made->shape_ = shape;
  // The tiles cover all queries whatever the span, so that one plan serves layers of different spans.
  Result<AttentionPlan> plan =
      plan_attention(batch.cu_seqlens, shape, {}, queue.context().device->properties(), options);
  if (plan.is_ok()) {
    made->plan_ = plan.take();
  } else if (plan.status().code() != Code::kUnsupported) {
    return plan.status();  // an unsupported shape is attention()'s to report
  }

  Staging staging;
  const size_t ids = staging.add(batch.ids);
  const size_t positions = staging.add(batch.positions);
  const size_t token_types = staging.add(batch.token_types);
  const size_t cu_seqlens = staging.add(batch.cu_seqlens);
  const size_t tiles = staging.add(std::span<const AttentionTile>(made->plan_.tiles));
  Result<std::unique_ptr<Buffer>> memory = queue.allocate(staging.bytes());
  if (!memory.is_ok()) return memory.status();
  made->memory_ = memory.take();
  Result<PinnedBlock> block = queue.context().pinned->take(staging.bytes());
  if (!block.is_ok()) return block.status();
  staging.write(block.value().data());
  PADLESS_RETURN_IF_ERROR(queue.upload(made->memory_->data(), block.take(), staging.bytes()));

  const auto* base = static_cast<const std::byte*>(made->memory_->data());
  const auto integers = [base](size_t offset) { return reinterpret_cast<const int32_t*>(base + offset); };
  made->ids_ = integers(ids);
  made->positions_ = integers(positions);
  made->token_types_ = batch.token_types.empty() ? nullptr : integers(token_types);
  made->cu_seqlens_ = integers(cu_seqlens);
  made->tiles_ = reinterpret_cast<const AttentionTile*>(base + tiles);
  return std::unique_ptr<PreparedBatch>(std::move(made));
}

Result<const CudaBatch*> as_cuda_batch(const CudaDevice& device, const PreparedBatch& batch) {
  const auto* cuda = dynamic_cast<const CudaBatch*>(&batch);
  PADLESS_CHECK(cuda != nullptr && cuda->device_ == &device, Code::kInvalidArgument, "batch",
                "the batch was prepared by another device");
  return cuda;
}

}  // namespace padless::cuda
