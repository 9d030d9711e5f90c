// Host memory that results are returned in. The pages of a large block that comes from the system are zeroed
// and mapped one by one as they are written, on every forward again; so blocks that come back are kept for
// the next result, as long as somebody runs models.
#pragma once

#include <cstddef>
#include <utility>

#include "lib/engine/cpu/memory.h"

namespace padless {

/** Bytes on a cache line, for one owner. Thread-safe as a whole: each may be destroyed on any thread. */
class HostBytes {
 public:
  /** While one of them lives, blocks are kept: kMostKept bytes at most, those that came back last. */
  class Keeper {
   public:
    Keeper();
    ~Keeper();
    Keeper(const Keeper&) = delete;
    Keeper& operator=(const Keeper&) = delete;
  };
  static constexpr size_t kMostKept = size_t{32} << 20;
  /** Bytes that are kept now. */
  static size_t kept();

  /** Uninitialised, so that the threads that fill it take the page faults. Null data if memory is short. */
  static HostBytes allocate(size_t size);

  HostBytes() = default;
  ~HostBytes() { give_back(); }
  HostBytes(HostBytes&& other) noexcept
      : block_(std::move(other.block_)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  HostBytes& operator=(HostBytes&& other) noexcept {
    if (this == &other) return *this;
    give_back();
    block_ = std::move(other.block_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }

  std::byte* data() const { return static_cast<std::byte*>(block_.data()); }
  size_t size() const { return size_; }

 private:
  class Store;
  void give_back();

  AlignedBlock block_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace padless
