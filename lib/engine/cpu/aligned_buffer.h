// Host memory for kernels: aligned to cache lines, freed with its owner, never throwing.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace padless {

inline constexpr std::align_val_t kCacheLine{64};

struct AlignedDelete {
  void operator()(char* memory) const { ::operator delete[](memory, kCacheLine); }
};

/** Null: there was no memory, or 0 bytes were asked for. */
using AlignedBuffer = std::unique_ptr<char[], AlignedDelete>;

inline AlignedBuffer allocate_aligned(size_t bytes) {
  return AlignedBuffer(bytes == 0 ? nullptr : new (kCacheLine, std::nothrow) char[bytes]);
}

}  // namespace padless
