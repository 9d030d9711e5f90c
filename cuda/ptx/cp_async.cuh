// cp.async (sm_80): copies from global to shared memory that a thread starts, groups and waits for.
//
// `source_bytes` may be less than the copy: the rest of the destination is written as zero, and with 0 the
// source is not read at all. A wait covers only the caller's own copies: __syncthreads() makes them visible
// to the block.
#pragma once

#include "cuda/ptx/address.cuh"

namespace padless::cuda::ptx {

// cp.async.cg.shared.global 16: 16 bytes, cached in L2 only.
DEVICE void cp_async_cg_16(uint32_t destination, const void* source, unsigned source_bytes CALL_SITE) {
#if PADLESS_EMULATED
  emulator::cp_async(destination, source, 16, source_bytes, call_site);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(destination), "l"(source),
               "r"(source_bytes)
               : "memory");
#endif
}

// cp.async.ca.shared.global 4, 8 or 16: cached in L1 and L2.
template <int kBytes>
DEVICE void cp_async_ca(uint32_t destination, const void* source, unsigned source_bytes CALL_SITE) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
#if PADLESS_EMULATED
  emulator::cp_async(destination, source, kBytes, source_bytes, call_site);
#else
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(destination), "l"(source), "n"(kBytes),
               "r"(source_bytes)
               : "memory");
#endif
}

// cp.async.commit_group: the copies started since the last commit form a group.
DEVICE void cp_async_commit_group() {
#if PADLESS_EMULATED
  emulator::cp_async_commit_group();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// cp.async.wait_group N: at most N of this thread's groups are still in flight.
template <int kInFlight>
DEVICE void cp_async_wait_group(CALL_SITE_ONLY) {
#if PADLESS_EMULATED
  emulator::cp_async_wait_group(kInFlight, call_site);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kInFlight) : "memory");
#endif
}

}  // namespace padless::cuda::ptx
