#include "lib/engine/cpu/weight_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <mutex>
#include <utility>

#include "lib/engine/cpu/memory.h"

namespace padless {
namespace {

constexpr size_t kLine = 64;
/** Address space of a chunk; what no block uses of it never becomes memory. */
constexpr size_t kChunkBytes = size_t{64} << 20;

size_t round_up(size_t bytes, size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

}  // namespace

/** Mapped zeros that are handed out from front to back and once only; unmapped with the last of its blocks.
 */
class WeightBlock::Chunk {
 public:
  /** Null where the system has no memory. */
  static std::shared_ptr<Chunk> map(size_t bytes) {
    auto chunk = std::make_shared<Chunk>(bytes);
    return chunk->mapping_ != MAP_FAILED ? chunk : nullptr;
  }

  explicit Chunk(size_t bytes)
      : length_(bytes + kHugePage),
        mapping_(mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (mapping_ == MAP_FAILED) return;
    const size_t beyond = reinterpret_cast<uintptr_t>(mapping_) % kHugePage;
    next_ = static_cast<char*>(mapping_) + (kHugePage - beyond) % kHugePage;
    end_ = next_ + bytes;
#if defined(MADV_HUGEPAGE)
    // Advice only: without huge pages everything still works.
    (void)madvise(next_, bytes, MADV_HUGEPAGE);
#endif
  }
  ~Chunk() {
    if (mapping_ != MAP_FAILED) munmap(mapping_, length_);
  }
  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;

  /** Null where less is left. */
  char* take(size_t bytes) {
    if (static_cast<size_t>(end_ - next_) < bytes) return nullptr;
    return std::exchange(next_, next_ + bytes);
  }

  /** Lets go of a block's pages, as far as no neighbour has a part of them, while the chunk lives on. */
  static void let_go(char* memory, size_t bytes) {
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<uintptr_t>(memory);
    const uintptr_t first = round_up(begin, page);
    const uintptr_t last = (begin + bytes) / page * page;
    if (first < last) (void)madvise(memory + (first - begin), last - first, MADV_DONTNEED);
  }

 private:
  const size_t length_;
  void* const mapping_;
  char* next_ = nullptr;
  char* end_ = nullptr;
};

/** Where the process takes the next block from. Holds no chunk: they belong to their blocks. */
class WeightBlock::Arena {
 public:
  static Arena& shared() {
    static Arena arena;
    return arena;
  }

  WeightBlock allocate(size_t bytes) {
    const std::lock_guard lock(mutex_);
    WeightBlock block;
    block.chunk_ = current_.lock();
    block.memory_ = block.chunk_ ? block.chunk_->take(bytes) : nullptr;
    if (!block.memory_) {
      block.chunk_ = Chunk::map(std::max(kChunkBytes, round_up(bytes, kHugePage)));
      if (!block.chunk_) return {};
      block.memory_ = block.chunk_->take(bytes);
      current_ = block.chunk_;
    }
    block.bytes_ = bytes;
    return block;
  }

 private:
  std::mutex mutex_;
  std::weak_ptr<Chunk> current_;
};

WeightBlock WeightBlock::allocate(size_t bytes) {
  if (bytes == 0 || bytes > std::numeric_limits<size_t>::max() / 2) return {};
  return Arena::shared().allocate(round_up(bytes, kLine));
}

WeightBlock WeightBlock::borrow(const char* memory, size_t bytes) {
  WeightBlock block;
  block.memory_ = bytes == 0 ? nullptr : const_cast<char*>(memory);
  block.bytes_ = bytes;
  return block;
}

WeightBlock::WeightBlock(WeightBlock&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      chunk_(std::move(other.chunk_)) {}

WeightBlock& WeightBlock::operator=(WeightBlock&& other) noexcept {
  if (this == &other) return *this;
  release();
  memory_ = std::exchange(other.memory_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  chunk_ = std::move(other.chunk_);
  return *this;
}

void WeightBlock::release() {
  if (chunk_ && memory_) Chunk::let_go(memory_, bytes_);
  chunk_ = nullptr;
  memory_ = nullptr;
}

}  // namespace padless
