#include "lib/engine/cuda/recorded_memory.h"

#include <utility>

namespace padless::cuda {

class RecordedMemory::Lent final : public Buffer {
 public:
  Lent(std::shared_ptr<RecordedMemory> owner, std::unique_ptr<Buffer> buffer)
      : owner_(std::move(owner)), buffer_(std::move(buffer)) {}
  ~Lent() override {
    const size_t size = buffer_->bytes();
    owner_->idle_.emplace(size, std::move(buffer_));
  }
  void* data() const override { return buffer_->data(); }
  size_t bytes() const override { return buffer_->bytes(); }

 private:
  const std::shared_ptr<RecordedMemory> owner_;
  std::unique_ptr<Buffer> buffer_;
};

RecordedMemory::RecordedMemory(std::shared_ptr<CudaArena> arena, SharedStream stream)
    : arena_(std::move(arena)), stream_(std::move(stream)) {}

RecordedMemory::~RecordedMemory() = default;

Result<std::unique_ptr<Buffer>> RecordedMemory::allocate(size_t bytes) {
  std::unique_ptr<Buffer> buffer;
  // Layers ask for the same sizes: a block that is larger by more is left to its own kind.
  if (const auto found = idle_.lower_bound(bytes); found != idle_.end() && found->first / 2 <= bytes) {
    buffer = std::move(found->second);
    idle_.erase(found);
  } else {
    Result<std::unique_ptr<Buffer>> made = arena_->allocate(bytes, stream_);
    if (!made.is_ok()) return made;
    buffer = made.take();
    bytes_ += bytes;
  }
  return std::unique_ptr<Buffer>(std::make_unique<Lent>(shared_from_this(), std::move(buffer)));
}

}  // namespace padless::cuda
