// Page-locked host memory: what the device copies from and to without a thread waiting.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

#include "lib/engine/cuda/device.h"

namespace padless::cuda {

class PinnedPool;

/** A block of a pool; goes back to it when destroyed, so no copy may be under way then. */
class PinnedBlock {
 public:
  PinnedBlock() = default;
  PinnedBlock(PinnedBlock&& other) noexcept;
  PinnedBlock& operator=(PinnedBlock&& other) noexcept;
  ~PinnedBlock();

  std::byte* data() const { return data_; }

 private:
  friend class PinnedPool;
  std::shared_ptr<PinnedPool> pool_;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/** Keeps what was allocated once, since locking pages is slow. */
class PinnedPool : public std::enable_shared_from_this<PinnedPool> {
 public:
  explicit PinnedPool(std::shared_ptr<CudaDevice> device) : device_(std::move(device)) {}
  ~PinnedPool();
  PinnedPool(const PinnedPool&) = delete;
  PinnedPool& operator=(const PinnedPool&) = delete;

  /** At least `bytes`, 256-byte aligned. */
  Result<PinnedBlock> take(size_t bytes);

 private:
  friend class PinnedBlock;
  const std::shared_ptr<CudaDevice> device_;
  std::mutex mutex_;                        // guards idle_
  std::multimap<size_t, std::byte*> idle_;  // by size
};

}  // namespace padless::cuda
