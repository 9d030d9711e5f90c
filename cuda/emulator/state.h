// The state of the emulated GPU: grids of clusters of blocks of warps of fibers. Internal to the emulator.
//
// Nothing here may allocate on a fiber: under ThreadSanitizer an allocation belongs to the thread that made
// it, and vectors copy with intercepted functions. Everything that grows during a kernel is reserved before
// it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "cuda/emulator/emulator.h"
#include "cuda/emulator/instructions.h"
#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/wgmma_state.h"

namespace padless::cuda::emulator {

constexpr uint32_t kSharedWindowBase = 0x400;
constexpr unsigned kClusterRankShift = 24;
constexpr uint32_t kSharedOffsetMask = (1u << kClusterRankShift) - 1;
constexpr size_t kSharedMemoryLimit = 227 * 1024;  // bytes a block can get on sm_90
constexpr unsigned kNamedBarriers = 16;
constexpr unsigned kWarpSize = 32;

struct Block;
struct Cluster;
struct Grid;
struct Warp;

enum class FiberState : uint8_t { ready, blocked, done };

struct PendingCopy {  // one cp.async
  uint8_t* destination;
  const uint8_t* source;
  uint16_t bytes, source_bytes;
  bool landed;
  void* pc;
};

struct Wait {  // what a blocked thread waits for, for the deadlock report
  const char* what = "";
  CallSite where;
  uint32_t id = 0, parity = 0;
  void* object = nullptr;
};

struct Fiber {
  ThreadContext context{};
  void* stack_pointer = nullptr;
  uint8_t* stack = nullptr;
  FiberState state = FiberState::done;
  Block* block = nullptr;
  Warp* warp = nullptr;
  Wait wait;
  std::vector<PendingCopy> copies;
  std::vector<unsigned> copy_groups;  // end of each committed group in `copies`
  uint64_t cluster_phase = 0;         // the cluster barrier phase that this thread has arrived at
  bool wgmma_fenced = false;
  bool waited_for_previous = false;
  unsigned mbarrier_waits = 0;
  void* sanitizer_thread = nullptr;
  void* fake_stack = nullptr;  // AddressSanitizer's
};

struct Team {  // lanes of one mask that meet in a collective
  uint32_t mask = 0, here = 0;
  unsigned generation = 0;
  const char* name = "";
  CallSite where;
  bool aligned = false;
  char token[2];
  alignas(64) uint8_t inputs[2][kWarpSize][kLaneSlotBytes];
  alignas(64) uint8_t outputs[2][kWarpSize][kLaneSlotBytes];
};

struct Warp {
  Block* block = nullptr;
  unsigned index = 0;
  uint32_t ready = 0;  // lanes
  uint64_t priority = 0;
  Fiber* lanes[kWarpSize] = {};
  unsigned lane_count = 0;
  Team teams[6];
  unsigned team_count = 0;
  WgmmaQueue wgmma;
  unsigned register_limit = 0;  // setmaxnreg; 0: not set
};

struct NamedBarrier {
  unsigned expected = 0, here = 0, generation = 0, votes = 0, result = 0;
  CallSite where;
  char token[2];
  std::vector<Fiber*> waiters;
};

struct WgmmaLogEntry {
  size_t number = SIZE_MAX;
  WgmmaSignature signature{};
};
constexpr size_t kWgmmaLogEntries = 1024;
constexpr unsigned kMaxWarpgroups = 8;

struct Block {
  uint3 index{};
  unsigned rank = 0;  // in its cluster
  Cluster* cluster = nullptr;
  uint8_t* allocation = nullptr;  // shared memory with its guards
  uint8_t* shared = nullptr;
  size_t shared_bytes = 0;
  std::vector<Fiber*> fibers;
  std::vector<Warp*> warps;
  NamedBarrier barriers[kNamedBarriers];
  unsigned live = 0;
  bool launched_dependents = false, waited_for_previous = false;
  char finished_token =
      0;                 // not the block's own: a thread that starts late comes not after one that has ended
  char proxy_token = 0;  // generic-proxy writes that a fence made visible to the asynchronous proxy
  std::vector<WgmmaLogEntry> wgmma_log[kMaxWarpgroups];  // last operations, to compare the warps' sequences
};

struct Cluster {
  Grid* grid = nullptr;
  std::vector<Block*> blocks;
  unsigned live = 0, arrived = 0, threads = 0;
  uint64_t phase = 0;
  char token[2];
};

struct LaunchShape {
  dim3 grid, block, cluster;
  size_t shared_bytes = 0;
};

struct Grid {
  LaunchShape shape;
  const KernelBody* body = nullptr;
  const void* start_token = nullptr;  // ThreadSanitizer: what comes before the launch
  const void* end_token = nullptr;    // and what its blocks did
  bool programmatic = false;          // launched to overlap with the kernel ahead of it, if there was one
  Grid* previous = nullptr;           // that kernel, where it does
  dim3 clusters;                      // the grid in units of clusters
  std::vector<uint32_t> order;  // of clusters: unspecified on a GPU, shuffled unless the schedule is fifo
  size_t next = 0;
  std::vector<Cluster*> running;
  size_t blocks_holding_dependents = 0;  // have neither launched dependents nor finished
  bool complete() const { return next == order.size() && running.empty(); }
};

// One kernel to run. In a sequence each but the first is programmatic, and may overlap with the one before
// it.
struct GridRequest {
  LaunchShape shape;
  const KernelBody* body;
  bool programmatic;
};

struct Machine {
  bool running = false;
  Fiber host;
  Fiber* current = nullptr;
  std::deque<Fiber*> idle_fibers;
  std::deque<Block*> idle_blocks;
  std::deque<Cluster*> idle_clusters;
  std::vector<Warp*> active;
  size_t cursor = 0;
  unsigned ready_count = 0;
  uint64_t tick = 0, random_state = 1, idle_polls = 0;
  bool return_to_host = false;
  std::string failure;
  std::vector<Fiber*> mbarrier_waiters;
  const void* host_stack = nullptr;
  size_t host_stack_bytes = 0;
};
extern Machine& machine;

// fiber.cc
void prepare_fiber(Fiber* fiber);
void switch_to(Fiber* next);

// scheduler.cc
Fiber* pick_next();
void make_ready(Fiber* fiber);
void block_current(const Wait& wait);
void reschedule();
uint64_t random_bits();
bool schedule_is_random();

// Reuse of shared memory orders two blocks for ThreadSanitizer, so the longest idle is taken and some are
// kept.
constexpr size_t kIdleBlocks = sanitizer::kThread ? 4 : 0;
template <class T>
T* take_idle(std::deque<T*>& idle, size_t reserve) {
  if (idle.empty() || idle.size() < reserve) return new T;
  T* object = idle.front();
  idle.pop_front();
  return object;
}

// block.cc
void start_block(Block* block, Cluster* cluster, unsigned rank, uint3 index);
// False when the block wrote past the end of its shared memory.
bool finish_block(Block* block);

// launch.cc
std::string check_shape(const LaunchShape& shape);  // why the shape cannot be launched, or empty
std::string run_grids(const std::vector<GridRequest>& requests);  // the failure, or empty

// report.cc
std::string describe(const CallSite& where);
std::string describe(const Fiber& fiber);
std::string deadlock_report();
bool same_site(const CallSite& a, const CallSite& b);

// shared_memory.cc
uint8_t* resolve_shared(uint32_t address, unsigned bytes, const char* what, CallSite where);
// Not memcpy and memset, which ThreadSanitizer intercepts.
void copy_bytes(void* destination, const void* source, size_t bytes);
void fill_bytes(void* destination, uint8_t value, size_t bytes);

}  // namespace padless::cuda::emulator
