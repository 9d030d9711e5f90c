// Memory of packed weights. A query of a few tokens does little but read them once, and with pages of 4 KiB
// the walks of the page table take a good part of that time. So weights lie side by side on huge pages.
#pragma once

#include <cstddef>
#include <memory>

namespace padless {

/** Bytes on cache lines: an own piece of memory, or a view of somebody else's that outlives it. */
class WeightBlock {
 public:
  WeightBlock() = default;
  ~WeightBlock() { release(); }
  WeightBlock(WeightBlock&& other) noexcept;
  WeightBlock& operator=(WeightBlock&& other) noexcept;

  /** Zeros. An empty block where the system has no memory, or for 0 bytes. */
  static WeightBlock allocate(size_t bytes);
  /** Never written through. */
  static WeightBlock borrow(const char* memory, size_t bytes);

  char* get() const { return memory_; }
  explicit operator bool() const { return memory_ != nullptr; }

 private:
  class Chunk;
  class Arena;
  void release();

  char* memory_ = nullptr;
  size_t bytes_ = 0;
  std::shared_ptr<Chunk> chunk_;  // null: borrowed
};

}  // namespace padless
