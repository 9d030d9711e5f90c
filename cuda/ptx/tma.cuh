// TMA (sm_90): cp.async.bulk.tensor copies a box of a tensor between global and shared memory.
//
// One thread issues. A load completes on an mbarrier, which must expect the box's bytes; a store is grouped
// and waited for. Shared addresses are 128-byte aligned (1024 with 128-byte swizzle). Coordinates are
// elements, fastest first.
#pragma once

#include "cuda/ptx/address.cuh"
#include "cuda/ptx/tensor_map.cuh"

namespace padless::cuda::ptx {

// prefetch.tensormap: the map is a __grid_constant__ parameter.
DEVICE void prefetch_tensormap([[maybe_unused]] const TensorMap* map) {
#if !PADLESS_EMULATED
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
#endif
}

// cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes
DEVICE void cp_async_bulk_tensor_load_2d(uint32_t destination, const TensorMap* map, uint32_t barrier, int x,
                                         int y CALL_SITE) {
#if PADLESS_EMULATED
  const int coordinates[2] = {x, y};
  emulator::tma_load(destination, map, barrier, coordinates, 2, 0, call_site);
#else
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, "
      "%4}], [%2];" ::"r"(destination),
      "l"(map), "r"(barrier), "r"(x), "r"(y)
      : "memory");
#endif
}

// cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes
DEVICE void cp_async_bulk_tensor_load_3d(uint32_t destination, const TensorMap* map, uint32_t barrier, int x,
                                         int y, int z CALL_SITE) {
#if PADLESS_EMULATED
  const int coordinates[3] = {x, y, z};
  emulator::tma_load(destination, map, barrier, coordinates, 3, 0, call_site);
#else
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, "
      "%5}], [%2];" ::"r"(destination),
      "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z)
      : "memory");
#endif
}

// cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes
DEVICE void cp_async_bulk_tensor_load_4d(uint32_t destination, const TensorMap* map, uint32_t barrier, int x,
                                         int y, int z, int w CALL_SITE) {
#if PADLESS_EMULATED
  const int coordinates[4] = {x, y, z, w};
  emulator::tma_load(destination, map, barrier, coordinates, 4, 0, call_site);
#else
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, "
      "%5, %6}], [%2];" ::"r"(destination),
      "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z), "r"(w)
      : "memory");
#endif
}

// ... .multicast::cluster: the box lands at the same offset, and completes on the same barrier, in every
// block whose rank is a bit of `ranks`.
DEVICE void cp_async_bulk_tensor_load_2d_multicast(uint32_t destination, const TensorMap* map,
                                                   uint32_t barrier, int x, int y, uint16_t ranks CALL_SITE) {
#if PADLESS_EMULATED
  const int coordinates[2] = {x, y};
  emulator::tma_load(destination, map, barrier, coordinates, 2, ranks, call_site);
#else
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1, {%3, %4}], [%2], %5;" ::"r"(destination),
      "l"(map), "r"(barrier), "r"(x), "r"(y), "h"(ranks)
      : "memory");
#endif
}

// ... .multicast::cluster: the box lands at the same offset, and completes on the same barrier, in every
// block whose rank is a bit of `ranks`.
DEVICE void cp_async_bulk_tensor_load_3d_multicast(uint32_t destination, const TensorMap* map,
                                                   uint32_t barrier, int x, int y, int z,
                                                   uint16_t ranks CALL_SITE) {
#if PADLESS_EMULATED
  const int coordinates[3] = {x, y, z};
  emulator::tma_load(destination, map, barrier, coordinates, 3, ranks, call_site);
#else
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1, {%3, %4, %5}], [%2], %6;" ::"r"(destination),
      "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z), "h"(ranks)
      : "memory");
#endif
}

// cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group
DEVICE void cp_async_bulk_tensor_store_2d(const TensorMap* map, uint32_t source, int x, int y CALL_SITE) {
#if PADLESS_EMULATED
  const int coordinates[2] = {x, y};
  emulator::tma_store(map, source, coordinates, 2, call_site);
#else
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(map),
               "r"(source), "r"(x), "r"(y)
               : "memory");
#endif
}

// cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group
DEVICE void cp_async_bulk_tensor_store_3d(const TensorMap* map, uint32_t source, int x, int y,
                                          int z CALL_SITE) {
#if PADLESS_EMULATED
  const int coordinates[3] = {x, y, z};
  emulator::tma_store(map, source, coordinates, 3, call_site);
#else
  asm volatile(
      "cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(map),
      "r"(source), "r"(x), "r"(y), "r"(z)
      : "memory");
#endif
}

// cp.async.bulk.commit_group: the stores that this thread issued since the last commit form a group.
DEVICE void cp_async_bulk_commit_group() {
#if PADLESS_EMULATED
  emulator::tma_store_commit_group();
#else
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
#endif
}

// cp.async.bulk.wait_group N: at most N of this thread's groups are still in flight.
template <int kInFlight>
DEVICE void cp_async_bulk_wait_group(CALL_SITE_ONLY) {
#if PADLESS_EMULATED
  emulator::tma_store_wait_group(kInFlight, call_site);
#else
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(kInFlight) : "memory");
#endif
}

// cp.async.bulk.wait_group.read N: of all but N groups the shared memory has been read and may be
// overwritten.
template <int kInFlight>
DEVICE void cp_async_bulk_wait_group_read(CALL_SITE_ONLY) {
#if PADLESS_EMULATED
  emulator::tma_store_wait_group(kInFlight, call_site);
#else
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kInFlight) : "memory");
#endif
}

}  // namespace padless::cuda::ptx
