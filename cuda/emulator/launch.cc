// A grid from launch to completion: clusters become resident, run interleaved, and leave.
#include <numeric>

#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/state.h"

namespace padless::cuda::emulator {

ThreadContext* this_thread = nullptr;
Machine& machine = *new Machine;  // never destroyed: its pools are reachable for the leak checker

namespace {

constexpr unsigned kMaxThreads = 1024, kMaxGridYz = 65535, kMaxClusterBlocks = 8;

unsigned volume(const dim3& d) { return d.x * d.y * d.z; }

template <class T>
T* take(std::vector<T*>& idle) {
  if (idle.empty()) return new T;
  T* object = idle.back();
  idle.pop_back();
  return object;
}

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
}

Grid make_grid(const LaunchShape& shape, const std::function<void()>& body) {
  Grid grid;
  grid.shape = shape;
  grid.body = &body;
  grid.clusters = {shape.grid.x / shape.cluster.x, shape.grid.y / shape.cluster.y, shape.grid.z / shape.cluster.z};
  grid.order.resize(volume(grid.clusters));
  std::iota(grid.order.begin(), grid.order.end(), 0u);
  if (schedule_is_random()) {
    for (size_t i = grid.order.size(); i > 1; i--) std::swap(grid.order[i - 1], grid.order[random_bits() % i]);
  }
  return grid;
}

void start_cluster(Grid& grid) {
  const uint32_t id = grid.order[grid.next++];
  const dim3 size = grid.shape.cluster;
  const uint3 first{id % grid.clusters.x * size.x, id / grid.clusters.x % grid.clusters.y * size.y,
                    id / grid.clusters.x / grid.clusters.y * size.z};
  Cluster* cluster = take(machine.idle_clusters);
  cluster->grid = &grid;
  cluster->blocks.clear();
  cluster->arrived = 0;
  cluster->phase = 0;
  cluster->threads = cluster->live = volume(size) * volume(grid.shape.block);
  for (unsigned rank = 0; rank < volume(size); rank++) cluster->blocks.push_back(take(machine.idle_blocks));
  for (unsigned rank = 0; rank < volume(size); rank++) {
    const uint3 offset{rank % size.x, rank / size.x % size.y, rank / size.x / size.y};
    start_block(cluster->blocks[rank], cluster, rank, {first.x + offset.x, first.y + offset.y, first.z + offset.z});
  }
  grid.running.push_back(cluster);
}

void finish_cluster(Cluster* cluster) {
  for (Block* block : cluster->blocks) {
    if (!finish_block(block) && machine.failure.empty()) {
      machine.failure = "shared memory written past its end (canary) in block " + std::to_string(block->index.x);
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

void run_to_completion(Grid& grid) {
  while (machine.failure.empty()) {
    while (grid.next < grid.order.size() && grid.running.size() < options().resident_clusters) start_cluster(grid);
    if (grid.running.empty()) return;
    machine.return_to_host = false;
    if (Fiber* next = pick_next()) switch_to(next);
    if (!machine.failure.empty()) return;
    if (!retire_finished_clusters(grid) && machine.ready_count == 0) machine.failure = deadlock_report();
  }
}

}  // namespace

std::string check_shape(const LaunchShape& shape) {
  const unsigned threads = volume(shape.block);
  if (threads == 0 || threads > kMaxThreads) return "launch: bad block size";
  if (shape.shared_bytes > kSharedMemoryLimit) return "launch: too much shared memory";
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return "launch: empty grid";
  if (shape.grid.y > kMaxGridYz || shape.grid.z > kMaxGridYz) return "launch: grid too large";
  if (volume(shape.cluster) == 0 || volume(shape.cluster) > kMaxClusterBlocks) return "launch: bad cluster size";
  if (shape.grid.x % shape.cluster.x || shape.grid.y % shape.cluster.y || shape.grid.z % shape.cluster.z) {
    return "launch: grid is not a multiple of the cluster";
  }
  return "";
}

std::string run_grid(const LaunchShape& shape, const std::function<void()>& body) {
  reset_machine();
  Grid grid = make_grid(shape, body);
  run_to_completion(grid);
  sanitizer::acquire(&machine);
  abandon(grid);
  machine.active.clear();
  machine.running = false;
  this_thread = nullptr;
  return machine.failure;
}

}  // namespace padless::cuda::emulator
