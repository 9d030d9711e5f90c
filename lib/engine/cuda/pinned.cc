#include "lib/engine/cuda/pinned.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace padless::cuda {

PinnedBlock::PinnedBlock(PinnedBlock&& other) noexcept
    : pool_(std::move(other.pool_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

PinnedBlock& PinnedBlock::operator=(PinnedBlock&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

PinnedBlock::~PinnedBlock() {
  if (!pool_) return;
  const std::lock_guard lock(pool_->mutex_);
  pool_->idle_.emplace(size_, data_);
}

PinnedPool::~PinnedPool() {
  if (!device_->enter().is_ok()) return;
  for (const auto& [size, data] : idle_) static_cast<void>(cudaFreeHost(data));
}

Result<PinnedBlock> PinnedPool::take(size_t bytes) {
  constexpr size_t kLeast = size_t{64} << 10;  // small requests share blocks of one size
  PADLESS_CHECK(bytes <= SIZE_MAX / 4, Code::kOutOfMemory, "", "no ", bytes, " bytes of pinned memory");
  const size_t size = std::bit_ceil(std::max(bytes, kLeast));
  PinnedBlock block;
  block.size_ = size;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = idle_.find(size); found != idle_.end()) {
      block.data_ = found->second;
      idle_.erase(found);
    }
  }
  if (block.data_ == nullptr) {
    PADLESS_RETURN_IF_ERROR(device_->enter());
    void* data = nullptr;
    PADLESS_RETURN_IF_ERROR(device_->check(cudaMallocHost(&data, size)));
    block.data_ = static_cast<std::byte*>(data);
  }
  block.pool_ = shared_from_this();
  return block;
}

}  // namespace padless::cuda
