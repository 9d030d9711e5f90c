// A grid from launch to completion: clusters become resident, run interleaved, and leave.
#include <algorithm>
#include <numeric>
#include <utility>

#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/state.h"
#include "cuda/emulator/tma_state.h"

namespace padless::cuda::emulator {

ThreadContext* this_thread = nullptr;
Machine& machine = *new Machine;  // never destroyed: its pools are reachable for the leak checker

namespace {

constexpr const char* kGridWait = "griddepcontrol.wait";
constexpr unsigned kMaxThreads = 1024, kMaxGridYz = 65535, kMaxClusterBlocks = 8,
                   kMostOverlapping = 3;  // grids with a cluster in flight, as long as each waits

unsigned volume(const dim3& d) { return d.x * d.y * d.z; }

void reset_machine() {
  machine.running = true;
  machine.current = &machine.host;
  machine.host.sanitizer_thread = sanitizer::current_thread();
  machine.host_stack = nullptr;
  machine.failure.clear();
  machine.random_state = options().seed * 0x9E3779B97F4A7C15ull + 0x1234567;
  machine.ready_count = 0;
  machine.cursor = 0;
  machine.tick = machine.idle_polls = 0;
  machine.active.clear();
  machine.mbarrier_waiters.clear();
  machine.mbarrier_waiters.reserve(kMostOverlapping * kMaxClusterBlocks * kMaxThreads *
                                   options().resident_clusters);
  reset_tma();
}

Grid make_grid(const GridRequest& request) {
  const LaunchShape& shape = request.shape;
  Grid grid;
  grid.shape = shape;
  grid.body = request.body;
  grid.programmatic = request.programmatic;
  grid.blocks_holding_dependents = volume(shape.grid);
  grid.clusters = {shape.grid.x / shape.cluster.x, shape.grid.y / shape.cluster.y,
                   shape.grid.z / shape.cluster.z};
  grid.order.resize(volume(grid.clusters));
  std::iota(grid.order.begin(), grid.order.end(), 0u);
  if (schedule_is_random()) {
    for (size_t i = grid.order.size(); i > 1; i--)
      std::swap(grid.order[i - 1], grid.order[random_bits() % i]);
  }
  return grid;
}

void start_cluster(Grid& grid) {
  const uint32_t id = grid.order[grid.next++];
  const dim3 size = grid.shape.cluster;
  const uint3 first{id % grid.clusters.x * size.x, id / grid.clusters.x % grid.clusters.y * size.y,
                    id / grid.clusters.x / grid.clusters.y * size.z};
  // In order, the kernel that has just been let go runs before the rest of its predecessor, up to its wait.
  if (grid.previous != nullptr) machine.cursor = machine.active.size();
  Cluster* cluster = take_idle(machine.idle_clusters, 0);
  cluster->grid = &grid;
  cluster->blocks.clear();
  cluster->arrived = 0;
  cluster->phase = 0;
  cluster->threads = cluster->live = volume(size) * volume(grid.shape.block);
  for (unsigned rank = 0; rank < volume(size); rank++)
    cluster->blocks.push_back(take_idle(machine.idle_blocks, kIdleBlocks));
  for (unsigned rank = 0; rank < volume(size); rank++) {
    const uint3 offset{rank % size.x, rank / size.x % size.y, rank / size.x / size.y};
    start_block(cluster->blocks[rank], cluster, rank,
                {first.x + offset.x, first.y + offset.y, first.z + offset.z});
  }
  grid.running.push_back(cluster);
}

void finish_cluster(Cluster* cluster) {
  if (const char* left = drop_tma_of(cluster)) machine.failure = left;
  for (Block* block : cluster->blocks) {
    if (!finish_block(block) && machine.failure.empty()) {
      machine.failure =
          "shared memory written past its end (canary) in block " + std::to_string(block->index.x);
    }
    if (cluster->grid->programmatic && !block->waited_for_previous && machine.failure.empty()) {
      machine.failure = "a kernel was launched to overlap with the one before it, and block " +
                        std::to_string(block->index.x) + " ended without " + kGridWait;
    }
    machine.idle_blocks.push_back(block);
  }
  machine.idle_clusters.push_back(cluster);
}

// True when a cluster has left.
bool retire_finished_clusters(Grid& grid) {
  return std::erase_if(grid.running, [](Cluster* cluster) {
           if (cluster->live != 0) return false;
           finish_cluster(cluster);
           return true;
         }) != 0;
}

// After a failure the fibers never finish: their stacks are reused, their ThreadSanitizer state is dropped.
void abandon(Grid& grid) {
  for (Cluster* cluster : grid.running) {
    for (Block* block : cluster->blocks) {
      for (Fiber* fiber : block->fibers) {
        if (sanitizer::kThread) {
          {
            sanitizer::AsThread as_fiber(fiber->sanitizer_thread);
            sanitizer::release(&machine);
          }
          sanitizer::acquire(&machine);
          sanitizer::destroy_thread(fiber->sanitizer_thread);
          fiber->sanitizer_thread = nullptr;
        }
        machine.idle_fibers.push_back(fiber);
      }
      machine.idle_blocks.push_back(block);
    }
    machine.idle_clusters.push_back(cluster);
  }
  grid.running.clear();
}

void wake_dependents_of(const Grid& finished, std::vector<Grid>& grids) {
  for (Grid& grid : grids) {
    if (grid.previous != &finished) continue;
    for (Cluster* cluster : grid.running) {
      for (Block* block : cluster->blocks) {
        for (Fiber* fiber : block->fibers) {
          if (fiber->state == FiberState::blocked && fiber->wait.object == &finished) make_ready(fiber);
        }
      }
    }
  }
}

void start_what_may_start(std::vector<Grid>& grids) {
  for (Grid& grid : grids) {
    if (grid.previous != nullptr && grid.previous->blocks_holding_dependents != 0) return;
    while (grid.next < grid.order.size() && grid.running.size() < options().resident_clusters)
      start_cluster(grid);
  }
}

void run_to_completion(std::vector<Grid>& grids) {
  while (machine.failure.empty()) {
    start_what_may_start(grids);
    if (std::all_of(grids.begin(), grids.end(), [](const Grid& grid) { return grid.complete(); })) return;
    machine.return_to_host = false;
    if (Fiber* next = pick_next()) switch_to(next);
    bool progress = false;
    for (Grid& grid : grids) {
      if (!machine.failure.empty()) return;
      if (!retire_finished_clusters(grid)) continue;
      progress = true;
      if (grid.complete()) wake_dependents_of(grid, grids);
    }
    const bool stuck =
        !progress && !machine.return_to_host && machine.ready_count == 0 && machine.failure.empty();
    if (stuck && !run_any_tma()) machine.failure = deadlock_report();
  }
}

}  // namespace

void launch_dependents() {
  Block* block = machine.current->block;
  if (block->launched_dependents) return;
  block->launched_dependents = true;
  if (--block->cluster->grid->blocks_holding_dependents != 0) return;
  machine.return_to_host = true;
  if (machine.current->state == FiberState::done) return;
  make_ready(machine.current);
  reschedule();
}

void wait_for_previous_grid(CallSite where) {
  machine.current->block->waited_for_previous = machine.current->waited_for_previous = true;
  const Grid* previous = machine.current->block->cluster->grid->previous;
  if (previous == nullptr) return;
  if (!previous->complete()) {
    Wait wait{.what = kGridWait, .where = where};
    wait.object = const_cast<Grid*>(previous);
    block_current(wait);
  }
  sanitizer::acquire(previous->end_token);
}

std::string check_shape(const LaunchShape& shape) {
  const unsigned threads = volume(shape.block);
  if (threads == 0 || threads > kMaxThreads) return "launch: bad block size";
  if (shape.shared_bytes > kSharedMemoryLimit) return "launch: too much shared memory";
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return "launch: empty grid";
  if (shape.grid.y > kMaxGridYz || shape.grid.z > kMaxGridYz) return "launch: grid too large";
  if (volume(shape.cluster) == 0 || volume(shape.cluster) > kMaxClusterBlocks)
    return "launch: bad cluster size";
  if (shape.grid.x % shape.cluster.x || shape.grid.y % shape.cluster.y || shape.grid.z % shape.cluster.z) {
    return "launch: grid is not a multiple of the cluster";
  }
  return "";
}

std::string run_grids(const std::vector<GridRequest>& requests) {
  // The machine's own memory belongs to one ThreadSanitizer thread, whichever stream runs.
  static void* const bookkeeper = sanitizer::create_thread("emulator");
  const void* start_token = &requests.front().body;  // not &requests.front(), the token of its end
  sanitizer::release(start_token);
  {
    sanitizer::AsThread as_bookkeeper(bookkeeper);
    reset_machine();
    std::vector<Grid> grids;
    grids.reserve(requests.size());
    for (const GridRequest& request : requests) {
      grids.push_back(make_grid(request));
      grids.back().start_token = start_token;
      grids.back().end_token = &request;
      if (grids.size() > 1) grids.back().previous = &grids[grids.size() - 2];
    }
    run_to_completion(grids);
    if (!machine.failure.empty()) sanitizer::acquire(&machine);
    for (Grid& grid : grids) abandon(grid);
    machine.active.clear();
    machine.running = false;
    this_thread = nullptr;
    if (!machine.failure.empty()) sanitizer::release(&machine);
  }
  for (const GridRequest& request : requests) sanitizer::acquire(&request);
  if (!machine.failure.empty()) sanitizer::acquire(&machine);
  // Moving even an empty string calls memcpy, here on the host's stack, and ThreadSanitizer intercepts it.
  if (machine.failure.empty()) return {};
  return std::exchange(machine.failure, {});
}

}  // namespace padless::cuda::emulator
