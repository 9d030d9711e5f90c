// Starting and finishing a block: poisoned shared memory between guards, one fiber a thread.
#include <algorithm>
#include <cstdlib>

#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/state.h"

namespace padless::cuda::emulator {
namespace {

constexpr size_t kGuardBytes = 4096, kCanaryBytes = 256;
constexpr uint8_t kPoisonByte = 0xFF, kCanaryByte = 0xA5;
constexpr size_t kAllocationBytes = (kGuardBytes + kSharedMemoryLimit + 2 * kGuardBytes) / 4096 * 4096;
constexpr size_t kSharedAlignment = 4096;

Fiber* take_idle_fiber() {
  // A fiber is one thread to ThreadSanitizer. The spare ones shift the threads of the next block, so that two
  // blocks' threads of the same index are not ordered; more would make its clocks, and with them every
  // barrier, slower.
  constexpr size_t kSpareFibers = sanitizer::kThread ? 33 : 0;
  Fiber* fiber = take_idle(machine.idle_fibers, kSpareFibers);
  fiber->copies.reserve(512);
  fiber->copy_groups.reserve(64);
  return fiber;
}

void set_up_shared_memory(Block* block, size_t bytes) {
  if (block->allocation == nullptr) {
    block->allocation = static_cast<uint8_t*>(std::aligned_alloc(kSharedAlignment, kAllocationBytes));
  }
  sanitizer::unpoison(block->allocation, kAllocationBytes);
  block->shared = block->allocation + kGuardBytes;
  block->shared_bytes = bytes;
  if (options().poison) fill_bytes(block->shared, kPoisonByte, bytes);
  fill_bytes(block->shared + bytes, kCanaryByte, kCanaryBytes);
  sanitizer::poison(block->allocation, kGuardBytes);
  sanitizer::poison(block->shared + bytes, kAllocationBytes - kGuardBytes - bytes);
}

void set_up_warp(Warp* warp, Block* block, unsigned index, unsigned lanes) {
  warp->block = block;
  warp->index = index;
  warp->ready = 0;
  warp->lane_count = lanes;
  warp->priority = random_bits();
  for (Team& team : warp->teams) team.here = 0;
  warp->team_count = 0;
  warp->register_limit = 0;
  reset_wgmma(warp->wgmma);
  machine.active.push_back(warp);
}

}  // namespace

void start_block(Block* block, Cluster* cluster, unsigned rank, uint3 index) {
  const LaunchShape& shape = cluster->grid->shape;
  const unsigned threads = shape.block.x * shape.block.y * shape.block.z;
  block->cluster = cluster;
  block->rank = rank;
  block->index = index;
  block->live = threads;
  set_up_shared_memory(block, shape.shared_bytes);
  for (NamedBarrier& barrier : block->barriers) {
    barrier.expected = barrier.here = 0;
    barrier.waiters.clear();
    barrier.waiters.reserve(threads);
  }
  const unsigned warps = (threads + kWarpSize - 1) / kWarpSize;
  while (block->warps.size() < warps) block->warps.push_back(new Warp);
  for (unsigned i = 0; i < warps; i++) {
    set_up_warp(block->warps[i], block, i, std::min(kWarpSize, threads - i * kWarpSize));
  }
  for (unsigned i = 0; i < threads / (4 * kWarpSize); i++) {
    block->wgmma_log[i].assign(kWgmmaLogEntries, WgmmaLogEntry{});
  }
  block->launched_dependents = block->waited_for_previous = false;
  block->fibers.clear();
  for (unsigned t = 0; t < threads; t++) {
    Fiber* fiber = take_idle_fiber();
    prepare_fiber(fiber);
    fiber->block = block;
    fiber->warp = block->warps[t / kWarpSize];
    const uint3 thread{t % shape.block.x, t / shape.block.x % shape.block.y,
                       t / shape.block.x / shape.block.y};
    fiber->context = {thread, index, shape.block, shape.grid, t, t / kWarpSize, t % kWarpSize};
    fiber->warp->lanes[t % kWarpSize] = fiber;
    block->fibers.push_back(fiber);
    make_ready(fiber);
  }
  sanitizer::release(block);
  statistics().blocks++;
}

bool finish_block(Block* block) {
  {
    static void* const janitor = sanitizer::create_thread("end of a block");
    sanitizer::AsThread as_janitor(
        janitor);  // not the host: blocks that start later are not ordered after this one
    sanitizer::acquire(&block->finished_token);
    sanitizer::release(block);
    sanitizer::release(block->cluster->grid->end_token);
  }
  sanitizer::unpoison(block->shared + block->shared_bytes, kCanaryBytes);
  const uint8_t* canary = block->shared + block->shared_bytes;
  const bool intact =
      std::all_of(canary, canary + kCanaryBytes, [](uint8_t byte) { return byte == kCanaryByte; });
  machine.idle_fibers.insert(machine.idle_fibers.end(), block->fibers.begin(), block->fibers.end());
  std::erase_if(machine.active, [&](const Warp* warp) { return warp->block == block; });
  return intact;
}

}  // namespace padless::cuda::emulator
