// A ring of kStages stages of shared memory (sm_90): a producer fills them by TMA, consumers empty them, in
// the same order. full[s] completes when the bytes of a stage have landed, empty[s] when all consumers have
// let it go.
#pragma once

#include "cuda/ptx/address.cuh"
#include "cuda/ptx/mbarrier.cuh"

namespace padless::cuda {

template <int kStages>
struct RingBarriers {
  uint64_t full[kStages];
  uint64_t empty[kStages];

  // One thread; then fence_mbarrier_init and a barrier. `consumers` arrivals empty a stage.
  DEVICE void init(unsigned consumers) {
    UNROLL
    for (int s = 0; s < kStages; s++) {
      ptx::mbarrier_init(ptx::cvta_to_shared(&full[s]), 1);
      ptx::mbarrier_init(ptx::cvta_to_shared(&empty[s]), consumers);
    }
  }
};

// The stage of a step, and the parity of the phases in which its barriers are then.
template <int kStages>
struct RingPosition {
  int stage = 0;
  unsigned parity = 0;

  DEVICE void advance() {
    if (++stage < kStages) return;
    stage = 0;
    parity ^= 1u;
  }
  DEVICE void advance(int steps) {
    const int next = stage + steps;
    parity ^= static_cast<unsigned>(next / kStages) & 1u;
    stage = next % kStages;
  }
};

// Producer: waits until the stage is empty, and announces `bytes` that will land in it.
template <int kStages>
DEVICE uint32_t begin_fill(RingBarriers<kStages>& ring, const RingPosition<kStages>& at, unsigned bytes) {
  ptx::mbarrier_wait_parity(ptx::cvta_to_shared(&ring.empty[at.stage]), at.parity ^ 1u);
  const uint32_t full = ptx::cvta_to_shared(&ring.full[at.stage]);
  ptx::mbarrier_arrive_expect_tx(full, bytes);
  return full;
}

template <int kStages>
DEVICE void wait_full(RingBarriers<kStages>& ring, const RingPosition<kStages>& at) {
  ptx::mbarrier_wait_parity(ptx::cvta_to_shared(&ring.full[at.stage]), at.parity);
}

// A warp of a consumer lets a stage go: to the producers of all kCluster blocks, each of which writes to it.
template <int kCluster, int kStages>
DEVICE void release_stage(RingBarriers<kStages>& ring, int stage) {
  const unsigned lane = threadIdx.x % 32;
  __syncwarp();
  ptx::mbarrier_arrive_rank_if(lane < kCluster, ptx::cvta_to_shared(&ring.empty[stage]), lane);
}

}  // namespace padless::cuda
