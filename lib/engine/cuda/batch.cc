#include "lib/engine/cuda/batch.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace padless::cuda {
namespace {

/** Arrays behind each other, each 16-byte aligned. */
class Offsets {
 public:
  size_t add(int64_t elements, size_t element_bytes) {
    const size_t offset = next_;
    next_ += (static_cast<size_t>(elements) * element_bytes + 15) / 16 * 16;
    return offset;
  }

 private:
  size_t next_ = 0;
};

/** Writes the array, and `rest` up to `count` elements. */
void write(std::byte* to, std::span<const int32_t> array, int64_t count, int32_t rest = 0) {
  auto* const elements = reinterpret_cast<int32_t*>(to);
  std::fill_n(std::ranges::copy(array, elements).out, count - static_cast<int64_t>(array.size()), rest);
}

}  // namespace

Result<std::unique_ptr<PreparedBatch>> CudaBatch::create(CudaQueue& queue, const PackedBatch& batch,
                                                         const AttentionShape& shape,
                                                         const BatchLayout& layout,
                                                         AttentionPlanOptions options) {
  auto made = std::make_unique<CudaBatch>();
  made->device_ = queue.context().device.get();
  made->capacity_ = layout.capacity;
  made->shape_ = shape;
  options.token_capacity = layout.capacity.tokens;
  options.sequence_capacity = layout.capacity.sequences;
  made->options_ = std::move(options);
  PADLESS_RETURN_IF_ERROR(made->plan(queue, batch));
  made->lay_out(layout.token_rows);
  made->tile_room_ = std::max(made->plan_.tile_capacity, static_cast<int64_t>(made->plan_.tiles.size()));
  const size_t bytes = made->places_.tiles + static_cast<size_t>(made->tile_room_) * sizeof(AttentionTile);
  Result<std::unique_ptr<Buffer>> memory = queue.allocate(bytes);
  if (!memory.is_ok()) return memory.status();
  made->memory_ = memory.take();
  PADLESS_RETURN_IF_ERROR(made->fill(queue, layout.token_rows));
  return std::unique_ptr<PreparedBatch>(std::move(made));
}

Status CudaBatch::refill(CudaQueue& queue, const PackedBatch& batch, std::span<const TokenRows> token_rows) {
  PADLESS_CHECK(has_capacity() && token_rows.size() == token_row_cols_.size(), Code::kInvalidArgument,
                "batch", "only a batch with a capacity can be refilled, with as many token rows");
  PADLESS_RETURN_IF_ERROR(plan(queue, batch));
  return fill(queue, token_rows);
}

Status CudaBatch::plan(CudaQueue& queue, const PackedBatch& batch) {
  PADLESS_RETURN_IF_ERROR(check_arrays(batch));
  PADLESS_CHECK(
      !has_capacity() || (batch.tokens() <= capacity_.tokens && batch.sequences() <= capacity_.sequences),
      Code::kInvalidArgument, "batch", "a batch of ", batch.tokens(), " tokens in ", batch.sequences(),
      " sequences; there is room for ", capacity_.tokens, " in ", capacity_.sequences);
  host_ = batch;
  // The tiles cover all queries whatever the span, so that one plan serves layers of different spans.
  Result<AttentionPlan> plan =
      plan_attention(batch.cu_seqlens, shape_, {}, queue.context().device->properties(), options_);
  if (plan.is_ok()) {
    plan_ = plan.take();
  } else if (plan.status().code() != Code::kUnsupported) {
    return plan.status();  // an unsupported shape is attention()'s to report
  }
  const auto known = std::ranges::find(known_launches_, plan_.groups);
  launches_ = static_cast<uint32_t>(known - known_launches_.begin());
  if (known == known_launches_.end()) known_launches_.push_back(plan_.groups);
  return Status::ok();
}

void CudaBatch::lay_out(std::span<const TokenRows> token_rows) {
  constexpr size_t kInteger = sizeof(int32_t);
  Offsets offsets;
  places_.tokens = offsets.add(1, kInteger);
  places_.ids = offsets.add(rows(), kInteger);
  places_.positions = offsets.add(rows(), kInteger);
  places_.token_types = offsets.add(rows(), kInteger);
  places_.cu_seqlens = offsets.add(pooled_rows() + 1, kInteger);
  places_.key_counts = offsets.add(pooled_rows(), kInteger);
  places_.counter = offsets.add(1, kInteger);
  for (const TokenRows& each : token_rows) {
    token_row_cols_.push_back(each.cols);
    places_.token_rows.push_back(offsets.add(rows() * each.cols, sizeof(float)));
  }
  // Last: of the tiles, only as many are copied as there are.
  places_.tiles = offsets.add(0, 0);
}

Status CudaBatch::fill(CudaQueue& queue, std::span<const TokenRows> token_rows) {
  const std::span<const AttentionTile> tiles = plan_.tiles;
  PADLESS_CHECK(static_cast<int64_t>(tiles.size()) <= tile_room_, Code::kInternal, "batch", tiles.size(),
                " tiles; there is room for ", tile_room_);
  const size_t bytes = places_.tiles + tiles.size_bytes();
  Result<PinnedBlock> block = queue.context().pinned->take(bytes);
  if (!block.is_ok()) return block.status();
  std::byte* const to = block.value().data();
  const auto tokens = static_cast<int32_t>(host_.tokens());
  write(to + places_.tokens, {&tokens, 1}, 1);
  write(to + places_.ids, host_.ids, rows());
  write(to + places_.positions, host_.positions, rows());
  write(to + places_.token_types, host_.token_types, rows());
  // Sequences past the last are empty, so that pooling makes zeros of them.
  write(to + places_.cu_seqlens, host_.cu_seqlens, pooled_rows() + 1, tokens);
  write_key_counts(to + places_.key_counts);
  write(to + places_.counter, {}, 1);
  for (size_t i = 0; i < token_rows.size(); ++i)
    token_rows[i].fill(host_, reinterpret_cast<float*>(to + places_.token_rows[i]));
  if (!tiles.empty()) std::memcpy(to + places_.tiles, tiles.data(), tiles.size_bytes());
  return queue.upload(memory_->data(), block.take(), bytes);
}

void CudaBatch::write_key_counts(std::byte* to) const {
  const auto count = static_cast<size_t>(host_.sequences());
  std::vector<int32_t> lengths(host_.key_counts.empty() ? count : 0);
  for (size_t b = 0; b < lengths.size(); ++b) lengths[b] = host_.cu_seqlens[b + 1] - host_.cu_seqlens[b];
  write(to, host_.key_counts.empty() ? std::span<const int32_t>(lengths) : host_.key_counts,
        static_cast<int64_t>(count));
}

Matrix CudaBatch::token_rows(size_t index) const {
  const int64_t cols = token_row_cols_[index];
  return {const_cast<float*>(at<float>(places_.token_rows[index])), DType::kF32, rows(), cols, cols};
}

Result<const CudaBatch*> as_cuda_batch(const CudaDevice& device, const PreparedBatch& batch) {
  const auto* cuda = dynamic_cast<const CudaBatch*>(&batch);
  PADLESS_CHECK(cuda != nullptr && cuda->device_ == &device, Code::kInvalidArgument, "batch",
                "the batch was prepared by another device");
  return cuda;
}

}  // namespace padless::cuda
