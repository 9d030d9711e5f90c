#include "lib/engine/cuda/arena.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace padless::cuda {
namespace {

/** Sizes that a request may be rounded up to: multiples of 512 bytes, then eight to a power of two, so that
 * batches of like sizes find each other's blocks. */
size_t size_class(size_t bytes) {
  constexpr size_t kLeast = 512;
  const size_t step = std::max(kLeast, std::bit_floor(std::max<size_t>(bytes, 1)) / 8);
  return (std::max<size_t>(bytes, 1) + step - 1) / step * step;
}

/** A block may be this much larger than asked for: twice, beyond which a new one wastes less. */
size_t largest_fit(size_t size) { return 2 * size; }

}  // namespace

class CudaArena::ArenaBuffer final : public Buffer {
 public:
  ArenaBuffer(std::shared_ptr<CudaArena> arena, void* data, size_t bytes)
      : arena_(std::move(arena)), data_(data), bytes_(bytes) {}
  ~ArenaBuffer() override { arena_->release(data_, bytes_); }
  void* data() const override { return data_; }
  size_t bytes() const override { return bytes_; }

 private:
  const std::shared_ptr<CudaArena> arena_;
  void* const data_;
  const size_t bytes_;
};

CudaArena::~CudaArena() { free_idle(); }

Result<std::unique_ptr<Buffer>> CudaArena::allocate(size_t bytes, const SharedStream& stream) {
  PADLESS_RETURN_IF_ERROR(device_->enter());
  PADLESS_CHECK(bytes <= SIZE_MAX / 4, Code::kOutOfMemory, "", device_->name(), " has no ", bytes, " bytes");
  Block block;
  {
    const std::lock_guard lock(mutex_);
    Result<Block> taken = take(size_class(bytes), stream);
    if (!taken.is_ok()) {
      if (taken.status().code() != Code::kOutOfMemory) return taken.status();
      return Status(Code::kOutOfMemory, concat(taken.status().message(), "; ", bytes,
                                               " bytes were asked for, ", allocated_.now(), " are in use"));
    }
    block = taken.take();
    live_.emplace(reinterpret_cast<uintptr_t>(block.data), block);
  }
  allocated_.add(bytes);
  return std::unique_ptr<Buffer>(std::make_unique<ArenaBuffer>(shared_from_this(), block.data, bytes));
}

Result<CudaArena::Block> CudaArena::take(size_t size, const SharedStream& stream) {
  for (auto found = idle_.lower_bound(size); found != idle_.end() && found->first <= largest_fit(size);
       ++found) {
    if (!is_ready(found->second, stream)) continue;
    Block block = std::move(found->second);
    idle_.erase(found);
    return block;
  }
  Block block;
  block.size = size;
  cudaError_t error = cudaMalloc(&block.data, size);
  if (error == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    free_idle();
    error = cudaMalloc(&block.data, size);
  }
  PADLESS_RETURN_IF_ERROR(device_->check(error));
  return block;
}

void CudaArena::hold(const SharedStream& stream) {
  const std::lock_guard lock(mutex_);
  held_.push_back(stream);
}

void CudaArena::release(const SharedStream& stream) {
  const std::lock_guard lock(mutex_);
  std::erase(held_, stream);
}

bool CudaArena::is_held(const SharedStream& stream) const {
  return std::ranges::find(held_, stream) != held_.end();
}

bool CudaArena::is_ready(Block& block, const SharedStream& stream) {
  std::erase_if(block.uses, [&](Use& use) {
    if (use.stream == stream) return false;
    if (!use.event) {
      if (is_held(use.stream)) return false;
      Result<SharedEvent> event = record_event(device_, use.stream);
      if (!event.is_ok()) return false;
      use.event = event.take();
    }
    return cudaEventQuery(use.event.get()) == cudaSuccess;
  });
  return std::ranges::all_of(block.uses, [&](const Use& use) { return use.stream == stream; });
}

void CudaArena::free_idle() {
  if (!device_->enter().is_ok()) return idle_.clear();  // the memory went with the device
  std::erase_if(idle_, [this](const auto& each) {
    const Block& block = each.second;
    if (std::ranges::any_of(block.uses, [this](const Use& use) { return is_held(use.stream); })) return false;
    for (const Use& use : block.uses) static_cast<void>(cudaStreamSynchronize(use.stream.get()));
    static_cast<void>(cudaFree(block.data));
    return true;
  });
}

void CudaArena::touch(const void* address, const SharedStream& stream) {
  if (address == nullptr) return;
  const std::lock_guard lock(mutex_);
  auto found = live_.upper_bound(reinterpret_cast<uintptr_t>(address));
  if (found == live_.begin()) return;
  Block& block = std::prev(found)->second;
  for (Use& use : block.uses) {
    if (use.stream != stream) continue;
    use.event.reset();
    return;
  }
  block.uses.push_back({stream, {}});
}

void CudaArena::release(void* data, size_t bytes) {
  allocated_.subtract(bytes);
  const std::lock_guard lock(mutex_);
  auto node = live_.extract(reinterpret_cast<uintptr_t>(data));
  idle_.emplace(node.mapped().size, std::move(node.mapped()));
}

size_t CudaArena::idle_bytes() const {
  const std::lock_guard lock(mutex_);
  size_t bytes = 0;
  for (const auto& [size, block] : idle_) bytes += size;
  return bytes;
}

}  // namespace padless::cuda
