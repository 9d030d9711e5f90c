// Thread block clusters (sm_90): the cluster's barrier and its blocks' shared memory.
#pragma once

#include "cuda/ptx/address.cuh"

namespace padless::cuda::ptx {

// %cluster_ctarank: this block's rank in its cluster.
DEVICE unsigned cluster_ctarank() {
#if PADLESS_EMULATED
  return emulator::cluster_rank();
#else
  unsigned rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
#endif
}

// %cluster_nctarank: how many blocks the cluster has.
DEVICE unsigned cluster_nctarank() {
#if PADLESS_EMULATED
  return emulator::cluster_size();
#else
  unsigned size;
  asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
  return size;
#endif
}

// barrier.cluster.arrive.release.aligned
DEVICE void barrier_cluster_arrive(CALL_SITE_ONLY) {
#if PADLESS_EMULATED
  emulator::cluster_arrive(call_site);
#else
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}

// barrier.cluster.wait.acquire.aligned
DEVICE void barrier_cluster_wait(CALL_SITE_ONLY) {
#if PADLESS_EMULATED
  emulator::cluster_wait(call_site);
#else
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

// mapa.shared::cluster.u32: the address in block `rank` of the cluster that corresponds to `address` in this
// block.
DEVICE uint32_t mapa(uint32_t address, unsigned rank CALL_SITE) {
#if PADLESS_EMULATED
  return emulator::map_shared_rank(address, rank, call_site);
#else
  uint32_t mapped;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(mapped) : "r"(address), "r"(rank));
  return mapped;
#endif
}

// ld.shared::cluster.u32
DEVICE uint32_t ld_shared_cluster_u32(uint32_t address CALL_SITE) {
#if PADLESS_EMULATED
  return *static_cast<const uint32_t*>(emulator::shared_pointer(address, 4, call_site));
#else
  uint32_t value;
  asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(value) : "r"(address) : "memory");
  return value;
#endif
}

// ld.shared::cluster.f32
DEVICE float ld_shared_cluster_f32(uint32_t address CALL_SITE) {
#if PADLESS_EMULATED
  return *static_cast<const float*>(emulator::shared_pointer(address, 4, call_site));
#else
  float value;
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(address) : "memory");
  return value;
#endif
}

// st.shared::cluster.u32
DEVICE void st_shared_cluster_u32(uint32_t address, uint32_t value CALL_SITE) {
#if PADLESS_EMULATED
  *static_cast<uint32_t*>(emulator::shared_pointer(address, 4, call_site)) = value;
#else
  asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(address), "r"(value) : "memory");
#endif
}

// st.shared::cluster.f32
DEVICE void st_shared_cluster_f32(uint32_t address, float value CALL_SITE) {
#if PADLESS_EMULATED
  *static_cast<float*>(emulator::shared_pointer(address, 4, call_site)) = value;
#else
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(address), "f"(value) : "memory");
#endif
}

}  // namespace padless::cuda::ptx
