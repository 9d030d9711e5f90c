// Exclusive prefix sum of one integer a thread over a block.
#pragma once

#include "cuda/platform.cuh"

namespace padless::cuda {

template <int kThreads>
struct BlockScanStorage {
  int warp_total[kThreads / 32];
};

struct BlockScan {
  int exclusive;  // of the threads before this one
  int total;      // of the block
};

// Every thread of the block calls it; `storage` may be used again after the next __syncthreads().
template <int kThreads>
DEVICE BlockScan block_exclusive_scan(int value, BlockScanStorage<kThreads>& storage) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  int inclusive = value;
  UNROLL
  for (int delta = 1; delta < 32; delta *= 2) {
    const int other = __shfl_up_sync(~0u, inclusive, static_cast<unsigned>(delta));
    if (lane >= delta) inclusive += other;
  }
  if (lane == 31) storage.warp_total[warp] = inclusive;
  __syncthreads();
  BlockScan scan{inclusive - value, 0};
  UNROLL
  for (int w = 0; w < kThreads / 32; w++) {
    if (w < warp) scan.exclusive += storage.warp_total[w];
    scan.total += storage.warp_total[w];
  }
  return scan;
}

}  // namespace padless::cuda
