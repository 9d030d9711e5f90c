// What tests of the emulated runtime share: two kernels, and handles with owners.
#pragma once

#include "cuda/emulator/emulator.h"
#include "cuda/platform.cuh"
#include "cuda/tests/support.h"

namespace padless::cuda::test {

__global__ void add_one(int* values, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) values[i] += 1;
}

__global__ void copy_values(const int* from, int* to, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) to[i] = from[i];
}

inline constexpr int kCount = 100;
inline const LaunchConfig kConfig{.grid = 2, .block = 64};

inline LaunchConfig on(cudaStream_t stream) {
  LaunchConfig config = kConfig;
  config.stream = stream;
  return config;
}

struct Stream {
  cudaStream_t handle = nullptr;
  Stream() { check_cuda(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), "create stream"); }
  ~Stream() { cudaStreamDestroy(handle); }
};
struct Event {
  cudaEvent_t handle = nullptr;
  Event() { check_cuda(cudaEventCreateWithFlags(&handle, cudaEventDisableTiming), "create event"); }
  ~Event() { cudaEventDestroy(handle); }
};

inline bool all_equal(const std::vector<int>& values, int expected) {
  for (int value : values) {
    if (value != expected) return false;
  }
  return true;
}

}  // namespace padless::cuda::test
