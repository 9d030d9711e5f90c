// __syncthreads, named barriers and the cluster barrier.
#include <cstring>

#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/state.h"

namespace padless::cuda::emulator {
namespace {

constexpr const char* kClusterWait = "barrier.cluster.wait";

// Returns the votes of the phase that this call took part in.
unsigned arrive(unsigned id, unsigned threads, bool wait, bool vote, CallSite where) {
  maybe_preempt();
  Fiber* fiber = machine.current;
  NamedBarrier& barrier = fiber->block->barriers[id];
  if (barrier.here == 0) {
    barrier.expected = threads;
    barrier.where = where;
    barrier.votes = 0;
  } else if (barrier.expected != threads) {
    fail("barrier " + std::to_string(id) + ": thread count " + std::to_string(threads) + " differs from " +
             std::to_string(barrier.expected) + " given at " + describe(barrier.where),
         where);
  }
  barrier.votes += vote ? 1 : 0;
  const char* token = &barrier.token[barrier.generation & 1];
  sanitizer::release(token);
  if (++barrier.here == barrier.expected) {
    barrier.here = 0;
    barrier.generation++;
    barrier.result = barrier.votes;
    for (Fiber* waiter : barrier.waiters) make_ready(waiter);
    barrier.waiters.clear();
  } else if (wait) {
    barrier.waiters.push_back(fiber);
    block_current({.what = "barrier", .where = where, .id = id});
  }
  if (wait) sanitizer::acquire(token);
  return barrier.result;
}

}  // namespace

unsigned sync_threads_count(bool predicate, CallSite where) {
  const Block* block = machine.current->block;
  const NamedBarrier& barrier = block->barriers[0];
  if (barrier.here != 0 && !same_site(barrier.where, where)) {
    fail("DIVERGENT __syncthreads: other threads of the block wait at " + describe(barrier.where), where);
  }
  return arrive(0, static_cast<unsigned>(block->fibers.size()), true, predicate, where);
}

void sync_threads(CallSite where) { sync_threads_count(false, where); }

void named_barrier(unsigned id, unsigned threads, bool wait, CallSite where) {
  if (id >= kNamedBarriers) fail("barrier id is above 15", where);
  if (threads == 0 || threads % kWarpSize != 0 || threads > machine.current->block->fibers.size()) {
    fail("barrier thread count must be a positive multiple of 32, at most the block size", where);
  }
  arrive(id, threads, wait, false, where);
}

void cluster_arrive(CallSite where) {
  maybe_preempt();
  Fiber* fiber = machine.current;
  Cluster* cluster = fiber->block->cluster;
  if (fiber->cluster_phase > cluster->phase) fail("barrier.cluster.arrive twice without a wait", where);
  fiber->cluster_phase = cluster->phase + 1;
  sanitizer::release(&cluster->token[cluster->phase & 1]);
  if (++cluster->arrived < cluster->threads) return;
  cluster->arrived = 0;
  cluster->phase++;
  for (Block* block : cluster->blocks) {
    for (Fiber* waiter : block->fibers) {
      const bool waits =
          waiter->state == FiberState::blocked && std::strcmp(waiter->wait.what, kClusterWait) == 0;
      if (waits && waiter->cluster_phase <= cluster->phase) make_ready(waiter);
    }
  }
}

void cluster_wait(CallSite where) {
  Fiber* fiber = machine.current;
  Cluster* cluster = fiber->block->cluster;
  if (fiber->cluster_phase == 0) fail("barrier.cluster.wait without an arrive", where);
  if (cluster->phase < fiber->cluster_phase) block_current({.what = kClusterWait, .where = where});
  sanitizer::acquire(&cluster->token[(fiber->cluster_phase - 1) & 1]);
}

void memory_fence() {
  static const char token = 0;
  sanitizer::release(&token);
  sanitizer::acquire(&token);
}

unsigned cluster_rank() { return machine.current->block->rank; }
unsigned cluster_size() { return static_cast<unsigned>(machine.current->block->cluster->blocks.size()); }

}  // namespace padless::cuda::emulator
