#include "lib/engine/cpu/host_bytes.h"

#include <algorithm>
#include <mutex>
#include <vector>

namespace padless {
namespace {

/** Smaller blocks cost few page faults. */
constexpr size_t kLeastKept = size_t{256} << 10;
/** A block serves results that leave at most this part of it unused. */
constexpr size_t kUnusedPart = 4;

}  // namespace

class HostBytes::Store {
 public:
  /** Never destroyed: a runtime that ends frees its buffers late. */
  static Store& shared() {
    static Store* const store = new Store;
    return *store;
  }

  /** The smallest kept block that fits, or none. */
  HostBytes take(size_t size) {
    const std::lock_guard lock(mutex_);
    auto best = blocks_.end();
    for (auto at = blocks_.begin(); at != blocks_.end(); ++at) {
      const bool fits = at->capacity >= size && at->capacity - size <= at->capacity / kUnusedPart;
      if (fits && (best == blocks_.end() || at->capacity < best->capacity)) best = at;
    }
    HostBytes bytes;
    if (best == blocks_.end()) return bytes;
    bytes.block_ = std::move(best->block);
    bytes.size_ = size;
    bytes.capacity_ = best->capacity;
    kept_ -= best->capacity;
    blocks_.erase(best);
    return bytes;
  }

  void keep(AlignedBlock block, size_t capacity) noexcept {
    const std::lock_guard lock(mutex_);
    if (keepers_ == 0 || capacity < kLeastKept || capacity > kMostKept) return;
    blocks_.push_back({std::move(block), capacity});
    kept_ += capacity;
    while (kept_ > kMostKept) {
      kept_ -= blocks_.front().capacity;
      blocks_.erase(blocks_.begin());
    }
  }

  void add_keeper() {
    const std::lock_guard lock(mutex_);
    ++keepers_;
  }
  void remove_keeper() {
    const std::lock_guard lock(mutex_);
    if (--keepers_ > 0) return;
    blocks_.clear();
    kept_ = 0;
  }

  size_t kept() {
    const std::lock_guard lock(mutex_);
    return kept_;
  }

 private:
  /** Blocks come back in destructors: keeping one allocates nothing. */
  Store() { blocks_.reserve(kMostKept / kLeastKept + 1); }

  struct Kept {
    AlignedBlock block;
    size_t capacity;
  };
  std::mutex mutex_;
  std::vector<Kept> blocks_;  // the last to come back is the last
  size_t kept_ = 0;
  int keepers_ = 0;
};

HostBytes::Keeper::Keeper() { Store::shared().add_keeper(); }
HostBytes::Keeper::~Keeper() { Store::shared().remove_keeper(); }

size_t HostBytes::kept() { return Store::shared().kept(); }

HostBytes HostBytes::allocate(size_t size) {
  if (size >= kLeastKept) {
    HostBytes kept = Store::shared().take(size);
    if (kept.data()) return kept;
  }
  HostBytes bytes;
  Result<AlignedBlock> block = AlignedBlock::allocate(size);
  if (!block.is_ok()) return bytes;
  bytes.block_ = block.take();
  bytes.size_ = bytes.capacity_ = size;
  return bytes;
}

void HostBytes::give_back() {
  if (block_.data()) Store::shared().keep(std::move(block_), capacity_);
}

}  // namespace padless
