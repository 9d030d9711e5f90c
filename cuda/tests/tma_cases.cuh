// TMA boxes in every swizzle, whole and narrow, inside and across the tensor's edge: used by the emulator's
// tests and by the conformance vectors. Kernels dump shared memory as it lies.
#pragma once

#include "cuda/platform.cuh"
#include "cuda/ptx/cluster.cuh"
#include "cuda/ptx/fence.cuh"
#include "cuda/ptx/mbarrier.cuh"
#include "cuda/ptx/tma.cuh"
#include "cuda/tests/support.h"

namespace padless::cuda::test {

constexpr int kBoxStorage = 16 * 1024;
constexpr uint8_t kUntouched = 0xEE;  // what shared memory holds before the copy

struct alignas(1024) BoxStorage {
  uint8_t box[kBoxStorage];
  uint64_t barrier;
};

struct BoxCase {
  const char* name;
  int rank;
  uint64_t extent[3];  // elements of bf16, fastest first
  uint32_t box[3];
  int corner[3];
  ptx::Swizzle swizzle;

  uint32_t box_elements() const { return box[0] * box[1] * (rank == 3 ? box[2] : 1); }
  size_t elements() const { return extent[0] * extent[1] * (rank == 3 ? extent[2] : 1); }
  ptx::TensorMapShape shape() const {
    ptx::TensorMapShape shape{};
    shape.rank = static_cast<unsigned>(rank);
    uint64_t stride = 2;
    for (int i = 0; i < rank; i++) {
      shape.extent[i] = extent[i];
      shape.box[i] = box[i];
      if (i > 0) shape.stride_bytes[i - 1] = stride;
      stride *= extent[i];
    }
    shape.swizzle = swizzle;
    return shape;
  }
};

// A narrow box under a swizzle: its rows are assumed to keep the span's pitch (to be confirmed on hardware).
inline const BoxCase kBoxCases[] = {
    {"whole 128-byte rows", 2, {64, 40}, {64, 16}, {0, 8}, ptx::Swizzle::b128},
    {"64-byte swizzle", 2, {64, 40}, {32, 16}, {32, 8}, ptx::Swizzle::b64},
    {"32-byte swizzle", 2, {64, 40}, {16, 32}, {16, 0}, ptx::Swizzle::b32},
    {"no swizzle", 2, {64, 40}, {24, 16}, {8, 3}, ptx::Swizzle::none},
    {"across the lower right corner", 2, {40, 20}, {64, 16}, {8, 12}, ptx::Swizzle::b128},
    {"across the upper left corner", 2, {40, 20}, {32, 16}, {-8, -5}, ptx::Swizzle::b64},
    {"outside", 2, {40, 20}, {32, 8}, {0, 24}, ptx::Swizzle::b64},
    {"narrower than the swizzle span", 2, {64, 40}, {32, 16}, {16, 4}, ptx::Swizzle::b128},
    {"three dimensions", 3, {32, 12, 6}, {32, 4, 3}, {0, 6, 4}, ptx::Swizzle::b64},
};

__global__ void load_box(const __grid_constant__ ptx::TensorMap map, int rank, int x, int y, int z,
                         uint32_t bytes, uint8_t* dump) {
  SHARED_STORAGE(BoxStorage, shared);
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kBoxStorage; i += 32) shared.box[i] = kUntouched;
  const uint32_t barrier = ptx::cvta_to_shared(&shared.barrier), box = ptx::cvta_to_shared(shared.box);
  ptx::fence_proxy_async();
  if (thread == 0) {
    ptx::mbarrier_init(barrier, 1);
    ptx::fence_mbarrier_init();
  }
  __syncwarp();
  if (thread == 0) {
    ptx::mbarrier_arrive_expect_tx(barrier, bytes);
    if (rank == 2) ptx::cp_async_bulk_tensor_load_2d(box, &map, barrier, x, y);
    if (rank == 3) ptx::cp_async_bulk_tensor_load_3d(box, &map, barrier, x, y, z);
  }
  ptx::mbarrier_wait_parity(barrier, 0);
  for (int i = thread; i < kBoxStorage; i += 32) dump[i] = shared.box[i];
}

// Stores shared memory, filled with bytes i % 251, as a box.
__global__ void store_box(const __grid_constant__ ptx::TensorMap map, int rank, int x, int y, int z) {
  SHARED_STORAGE(BoxStorage, shared);
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kBoxStorage; i += 32) shared.box[i] = static_cast<uint8_t>(i % 251);
  ptx::fence_proxy_async();
  __syncwarp();
  if (thread == 0) {
    const uint32_t box = ptx::cvta_to_shared(shared.box);
    if (rank == 2) ptx::cp_async_bulk_tensor_store_2d(&map, box, x, y);
    if (rank == 3) ptx::cp_async_bulk_tensor_store_3d(&map, box, x, y, z);
    ptx::cp_async_bulk_commit_group();
    ptx::cp_async_bulk_wait_group<0>();
  }
}

inline std::vector<bf16> tensor_of(const BoxCase& c) {
  Random random(c.elements());
  return random.vector<bf16>(c.elements());
}

inline std::vector<uint8_t> run_load(const BoxCase& c, const std::vector<bf16>& tensor) {
  DeviceBuffer<bf16> device(tensor);
  DeviceBuffer<uint8_t> dump(kBoxStorage);
  ptx::TensorMap map;
  check_ok(ptx::make_tensor_map(map, device.data(), c.shape()), c.name);
  check_ok(launch(load_box, {.grid = 1, .block = 32, .shared_bytes = sizeof(BoxStorage)}, map, c.rank,
                  c.corner[0], c.corner[1], c.corner[2], c.box_elements() * 2, dump.data()),
           c.name);
  return dump.download();
}

inline std::vector<bf16> run_store(const BoxCase& c, const std::vector<bf16>& before) {
  DeviceBuffer<bf16> device(before);
  ptx::TensorMap map;
  check_ok(ptx::make_tensor_map(map, device.data(), c.shape()), c.name);
  check_ok(launch(store_box, {.grid = 1, .block = 32, .shared_bytes = sizeof(BoxStorage)}, map, c.rank,
                  c.corner[0], c.corner[1], c.corner[2]),
           c.name);
  return device.download();
}

}  // namespace padless::cuda::test
