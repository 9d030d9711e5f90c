// The block's shared memory and the windows through which 32-bit addresses reach it and its cluster's.
#include <cstdio>

#include "cuda/emulator/state.h"

namespace padless::cuda::emulator {

constexpr size_t kMaxAlignment = 1024;

void* dynamic_shared_memory(size_t bytes, size_t alignment) {
  const Block* block = machine.current->block;
  if (bytes > block->shared_bytes) {
    fail("SHARED_STORAGE needs " + std::to_string(bytes) + " bytes, the launch gave " +
             std::to_string(block->shared_bytes),
         CallSite::current());
  }
  if (alignment > kMaxAlignment) fail("SHARED_STORAGE alignment is above 1024", CallSite::current());
  return block->shared;
}

uint32_t shared_address(const void* pointer, CallSite where) {
  const Block* block = machine.current->block;
  const auto* byte = static_cast<const uint8_t*>(pointer);
  if (byte < block->shared || byte > block->shared + block->shared_bytes) {
    fail("address is not in this block's shared memory", where);
  }
  return static_cast<uint32_t>(byte - block->shared) + kSharedWindowBase;
}

uint32_t map_shared_rank(uint32_t address, unsigned rank, CallSite where) {
  if (rank >= cluster_size()) fail("mapa: rank is outside the cluster", where);
  return (address & kSharedOffsetMask) | (rank + 1) << kClusterRankShift;
}

void* shared_pointer(uint32_t address, unsigned bytes, CallSite where) {
  if (address % bytes != 0) fail("shared memory access is not aligned to its size", where);
  return resolve_shared(address, bytes, "shared memory access", where);
}

uint8_t* resolve_shared(uint32_t address, unsigned bytes, const char* what, CallSite where) {
  const Block* block = machine.current->block;
  const unsigned rank = address >> kClusterRankShift;
  if (rank != 0) {
    const auto& blocks = block->cluster->blocks;
    if (rank > blocks.size()) fail(std::string(what) + ": cluster rank out of range", where);
    block = blocks[rank - 1];
    if (block->live == 0) fail(std::string(what) + ": the other block has exited", where);
  }
  const int64_t offset = int64_t{address & kSharedOffsetMask} - kSharedWindowBase;
  if (offset < 0 || static_cast<size_t>(offset) + bytes > block->shared_bytes) {
    char message[160];
    std::snprintf(message, sizeof(message),
                  "%s: shared memory access out of bounds: offset %lld size %u, block has %zu bytes", what,
                  static_cast<long long>(offset), bytes, block->shared_bytes);
    fail(message, where);
  }
  return block->shared + offset;
}

void copy_bytes(void* destination, const void* source, size_t bytes) {
  const auto words =
      (reinterpret_cast<uintptr_t>(destination) | reinterpret_cast<uintptr_t>(source) | bytes) % 4 == 0;
  if (words) {
    auto* to = static_cast<volatile uint32_t*>(destination);
    auto* from = static_cast<const uint32_t*>(source);
    for (size_t i = 0; i < bytes / 4; i++) to[i] = from[i];
  } else {
    auto* to = static_cast<volatile uint8_t*>(destination);
    auto* from = static_cast<const uint8_t*>(source);
    for (size_t i = 0; i < bytes; i++) to[i] = from[i];
  }
}

void fill_bytes(void* destination, uint8_t value, size_t bytes) {
  if (!sanitizer::kThread) {
    std::memset(destination, value, bytes);
    return;
  }
  auto* to = static_cast<volatile uint8_t*>(destination);
  for (size_t i = 0; i < bytes; i++) to[i] = value;
}

}  // namespace padless::cuda::emulator
