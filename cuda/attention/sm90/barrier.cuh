// mbarriers in shared memory: a stage is full when its bytes have landed, empty when every warp that reads it
// has arrived.
#pragma once

#include "cuda/ptx/fence.cuh"
#include "cuda/ptx/mbarrier.cuh"

namespace padless::cuda::sm90 {

DEVICE void init(uint64_t& barrier, unsigned count) {
  ptx::mbarrier_init(ptx::cvta_to_shared(&barrier), count);
}
DEVICE void expect(uint64_t& barrier, unsigned bytes) {
  ptx::mbarrier_arrive_expect_tx(ptx::cvta_to_shared(&barrier), bytes);
}
DEVICE void arrive(uint64_t& barrier) { ptx::mbarrier_arrive(ptx::cvta_to_shared(&barrier)); }
DEVICE void wait(uint64_t& barrier, unsigned parity) {
  ptx::mbarrier_wait_parity(ptx::cvta_to_shared(&barrier), parity);
}
// One arrival for the warp.
DEVICE void arrive_warp(uint64_t& barrier, int lane) {
  __syncwarp();
  if (lane == 0) arrive(barrier);
}

}  // namespace padless::cuda::sm90
