// mbarrier (sm_90): a barrier object in shared memory whose phase completes when the expected arrivals have
// come and the announced bytes of asynchronous copies have landed.
//
// Waits name the parity of the phase to wait for: 0 for the first, then alternating.
#pragma once

#include "cuda/ptx/address.cuh"

namespace padless::cuda::ptx {

// mbarrier.init.shared::cta.b64: `count` arrivals complete a phase. One thread; then fence_mbarrier_init and
// a barrier.
DEVICE void mbarrier_init(uint32_t barrier, unsigned count CALL_SITE) {
#if PADLESS_EMULATED
  emulator::mbarrier_init(barrier, count, call_site);
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
#endif
}

// mbarrier.inval.shared::cta.b64: the memory may be used for something else.
DEVICE void mbarrier_inval(uint32_t barrier CALL_SITE) {
#if PADLESS_EMULATED
  emulator::mbarrier_invalidate(barrier, call_site);
#else
  asm volatile("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
#endif
}

// mbarrier.arrive.shared::cta.b64 (release, block scope)
DEVICE void mbarrier_arrive(uint32_t barrier CALL_SITE) {
#if PADLESS_EMULATED
  emulator::mbarrier_arrive(barrier, 1, 0, call_site);
#else
  asm volatile("{ .reg .b64 state; mbarrier.arrive.shared::cta.b64 state, [%0]; }" ::"r"(barrier) : "memory");
#endif
}

// mbarrier.arrive.release.cluster.shared::cluster.b64: `barrier` is an address from mapa().
DEVICE void mbarrier_arrive_cluster(uint32_t barrier CALL_SITE) {
#if PADLESS_EMULATED
  emulator::mbarrier_arrive(barrier, 1, 0, call_site);
#else
  asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(barrier) : "memory");
#endif
}

// The same in block `rank` of the cluster, by the threads whose `arrives` is true: without a branch, for the
// reason that mbarrier_wait_parity has none. `barrier` is an address of the own block.
DEVICE void mbarrier_arrive_rank_if(bool arrives, uint32_t barrier, unsigned rank CALL_SITE) {
#if PADLESS_EMULATED
  if (arrives)
    emulator::mbarrier_arrive(emulator::map_shared_rank(barrier, rank, call_site), 1, 0, call_site);
#else
  asm volatile(
      "{ .reg .pred p; .reg .b32 mapped; setp.ne.b32 p, %2, 0; @p mapa.shared::cluster.u32 mapped, %0, %1; "
      "@p mbarrier.arrive.release.cluster.shared::cluster.b64 _, [mapped]; }" ::"r"(barrier),
      "r"(rank), "r"(int{arrives})
      : "memory");
#endif
}

// mbarrier.arrive.expect_tx.shared::cta.b64: one arrival, and `bytes` more will be copied in this phase.
DEVICE void mbarrier_arrive_expect_tx(uint32_t barrier, unsigned bytes CALL_SITE) {
#if PADLESS_EMULATED
  emulator::mbarrier_arrive(barrier, 1, bytes, call_site);
#else
  asm volatile(
      "{ .reg .b64 state; mbarrier.arrive.expect_tx.shared::cta.b64 state, [%0], %1; }" ::"r"(barrier),
      "r"(bytes)
      : "memory");
#endif
}

// mbarrier.expect_tx.relaxed.cta.shared::cta.b64: `bytes` more, without an arrival.
DEVICE void mbarrier_expect_tx(uint32_t barrier, unsigned bytes CALL_SITE) {
#if PADLESS_EMULATED
  emulator::mbarrier_arrive(barrier, 0, bytes, call_site);
#else
  asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
#endif
}

// mbarrier.test_wait.parity.shared::cta.b64: whether the phase has completed; does not wait.
DEVICE bool mbarrier_test_wait_parity(uint32_t barrier, unsigned parity CALL_SITE) {
#if PADLESS_EMULATED
  return emulator::mbarrier_test_wait(barrier, parity, call_site);
#else
  uint32_t done;
  asm volatile(
      "{ .reg .pred p; mbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
      : "=r"(done)
      : "r"(barrier), "r"(parity)
      : "memory");
  return done != 0;
#endif
}

// mbarrier.try_wait.parity.shared::cta.b64: waits for a while; false when the phase has not completed by
// then.
DEVICE bool mbarrier_try_wait_parity(uint32_t barrier, unsigned parity CALL_SITE) {
#if PADLESS_EMULATED
  return emulator::mbarrier_try_wait(barrier, parity, call_site);
#else
  uint32_t done;
  asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
               : "=r"(done)
               : "r"(barrier), "r"(parity)
               : "memory");
  return done != 0;
#endif
}

// mbarrier.try_wait until the phase has completed. The loop is PTX: one in C++ is to ptxas a path on which
// threads diverge, and it serialises wgmma that is in flight across it.
DEVICE void mbarrier_wait_parity(uint32_t barrier, unsigned parity CALL_SITE) {
#if PADLESS_EMULATED
  while (!mbarrier_try_wait_parity(barrier, parity FORWARD_CALL_SITE)) {
  }
#else
  asm volatile(
      "{ .reg .pred done; again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1; @!done bra again; "
      "}" ::"r"(barrier),
      "r"(parity)
      : "memory");
#endif
}

// The same with mbarrier.try_wait.parity.acquire.cluster: for what threads of other blocks wrote to this
// one's shared memory before they arrived.
DEVICE void mbarrier_wait_parity_cluster(uint32_t barrier, unsigned parity CALL_SITE) {
#if PADLESS_EMULATED
  mbarrier_wait_parity(barrier, parity FORWARD_CALL_SITE);
#else
  asm volatile(
      "{ .reg .pred done; again: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1; "
      "@!done bra again; }" ::"r"(barrier),
      "r"(parity)
      : "memory");
#endif
}

}  // namespace padless::cuda::ptx
