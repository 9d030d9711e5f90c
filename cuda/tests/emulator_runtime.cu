// The host twin of the CUDA runtime: order among streams, events, memory errors, injected failures.
// ThreadSanitizer reports the faults of some of these tests as races, so it does without them.
#include <thread>

#include "cuda/emulator/emulator.h"
#include "cuda/platform.cuh"
#include "cuda/tests/runtime_support.h"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda::test {
namespace {

void test_fork_and_join() {
  Stream main, side;
  Event forked, joined;
  DeviceBuffer<int> a(std::vector<int>(kCount, 5)), b(kCount);
  check_ok(launch(add_one, on(main.handle), a.data(), kCount), "kernel");
  check_cuda(cudaEventRecord(forked.handle, main.handle), "record");
  check_cuda(cudaStreamWaitEvent(side.handle, forked.handle), "wait");
  check_ok(launch(copy_values, on(side.handle), a.data(), b.data(), kCount), "kernel");
  check_cuda(cudaEventRecord(joined.handle, side.handle), "record");
  check_cuda(cudaStreamWaitEvent(main.handle, joined.handle), "wait");
  check_ok(launch(add_one, on(main.handle), b.data(), kCount), "kernel");
  check(emulator::options().lazy_streams == (cudaStreamQuery(main.handle) == cudaErrorNotReady),
        "work is queued");
  check_cuda(cudaStreamSynchronize(main.handle), "synchronise");
  check(all_equal(b.download(), 7), "fork and join keep the order");
}

// With the schedule that runs the waited stream first, a missing join reads memory that nobody has written.
void test_missing_join_shows() {
#if !defined(__SANITIZE_THREAD__)
  if (!emulator::options().lazy_streams || emulator::options().schedule != emulator::Schedule::fifo) return;
  Stream main, side;
  DeviceBuffer<int> a(std::vector<int>(kCount, 5)), b(kCount);
  check_ok(launch(copy_values, on(side.handle), a.data(), b.data(), kCount), "kernel");
  check_ok(launch(add_one, on(main.handle), b.data(), kCount), "kernel");
  check(!all_equal(b.download(), 6), "a missing join gives a wrong result");
#endif
}

void test_default_stream_orders_blocking_streams() {
  cudaStream_t blocking = nullptr;
  check_cuda(cudaStreamCreate(&blocking), "create");
  DeviceBuffer<int> a(std::vector<int>(kCount, 0));
  check_ok(launch(add_one, on(blocking), a.data(), kCount), "kernel");
  check_cuda(cudaMemsetAsync(a.data(), 0, kCount * sizeof(int)), "memset on the default stream");
  check_ok(launch(add_one, on(blocking), a.data(), kCount), "kernel");
  check(all_equal(a.download(), 1), "the default stream orders blocking streams");
  check_cuda(cudaStreamDestroy(blocking), "destroy");
}

void test_pageable_and_pinned_copies() {
  Stream stream;
  DeviceBuffer<int> a(kCount);
  std::vector<int> pageable(kCount, 3);
  check_cuda(
      cudaMemcpyAsync(a.data(), pageable.data(), kCount * sizeof(int), cudaMemcpyHostToDevice, stream.handle),
      "copy");
  pageable.assign(kCount, 4);
  check_cuda(cudaStreamSynchronize(stream.handle), "synchronise");
  check(all_equal(a.download(), 3), "a copy from pageable memory takes its data at the call");
  int* pinned = nullptr;
  check_cuda(cudaMallocHost(&pinned, kCount * sizeof(int)), "pinned");
  for (int i = 0; i < kCount; i++) pinned[i] = 3;
  check_cuda(cudaMemcpyAsync(a.data(), pinned, kCount * sizeof(int), cudaMemcpyHostToDevice, stream.handle),
             "copy");
#if !defined(__SANITIZE_THREAD__)
  if (emulator::options().lazy_streams) {
    check(cudaFreeHost(pinned) == cudaErrorInvalidValue,
          "freeing pinned memory under a queued copy is an error");
    for (int i = 0; i < kCount; i++) pinned[i] = 4;
    check(all_equal(a.download(), 4), "a copy from pinned memory reads it when it runs");
  }
#endif
  check_cuda(cudaStreamSynchronize(stream.handle), "synchronise");
  check_cuda(cudaFreeHost(pinned), "free pinned");
}

void test_free_under_queued_work() {
#if !defined(__SANITIZE_THREAD__)
  if (!emulator::options().lazy_streams) return;
  Stream main, side;
  int* memory = nullptr;
  check_cuda(cudaMalloc(&memory, kCount * sizeof(int)), "allocate");
  check_cuda(cudaMemset(memory, 0, kCount * sizeof(int)), "memset");
  check_ok(launch(add_one, on(main.handle), memory, kCount), "kernel");
  check(cudaFree(memory) == cudaErrorInvalidValue, "cudaFree under a queued kernel is an error");
  check_cuda(cudaStreamSynchronize(main.handle), "synchronise");
  check_ok(launch(add_one, on(main.handle), memory, kCount), "kernel");
  check_cuda(cudaFreeAsync(memory, side.handle), "free in another stream");
  check_cuda(cudaStreamSynchronize(side.handle), "synchronise");
  const cudaError_t error = cudaStreamSynchronize(main.handle);
  if (emulator::options().schedule == emulator::Schedule::fifo) {
    check(error == cudaErrorIllegalAddress, "a kernel that runs after the free fails");
    check(cudaMalloc(&memory, 4) == cudaErrorIllegalAddress, "the error is sticky");
    check(emulator::take_failure().find("freed") != std::string::npos, "the failure says why");
  }
  check_cuda(cudaDeviceReset(), "reset");
  check_cuda(cudaMalloc(&memory, 4), "after the reset the device works");
  check_cuda(cudaFree(memory), "free");
#endif
}

void test_allocation_in_stream_order() {
#if !defined(__SANITIZE_THREAD__)
  if (!emulator::options().lazy_streams || emulator::options().schedule != emulator::Schedule::fifo) return;
  Stream main, side;
  int* memory = nullptr;
  check_cuda(cudaMallocAsync(&memory, kCount * sizeof(int), side.handle), "allocate");
  check_ok(launch(add_one, on(main.handle), memory, kCount), "kernel");
  check(cudaStreamSynchronize(main.handle) == cudaErrorIllegalAddress,
        "use before the allocation in stream order");
  check_cuda(cudaDeviceReset(), "reset");
#endif
}

[[maybe_unused]] __global__ void write_past_end(int* values, int index) { values[index] = 1; }

void test_canary() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  int* memory = nullptr;
  check_cuda(cudaMalloc(&memory, 12), "allocate");
  check_ok(launch(write_past_end, {.grid = 1, .block = 1}, memory, 3), "kernel");
  check(cudaDeviceSynchronize() == cudaErrorLaunchFailure, "a write past an allocation's end is found");
  check_cuda(cudaDeviceReset(), "reset");
#endif
}

void test_memory_limit_and_injection() {
  const size_t before = emulator::device_bytes_in_use();
  emulator::device_options().memory_bytes = before + 4096;
  void *first = nullptr, *second = nullptr;
  check_cuda(cudaMalloc(&first, 4000), "within the limit");
  check(cudaMalloc(&second, 1000) == cudaErrorMemoryAllocation && second == nullptr, "beyond the limit");
  check(cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess, "not sticky");
  check_cuda(cudaFree(first), "free");
  check_cuda(cudaMalloc(&second, 1000), "after freeing");
  check_cuda(cudaFree(second), "free");
  check(cudaFree(second) == cudaErrorInvalidValue, "freed twice");
  emulator::device_options() = {};
  emulator::inject_failure("cudaMalloc", cudaErrorMemoryAllocation, 1);
  check_cuda(cudaMalloc(&first, 16), "first call");
  check(cudaMalloc(&second, 16) == cudaErrorMemoryAllocation, "injected failure");
  check_cuda(cudaFree(first), "free");
  check(emulator::device_bytes_in_use() == before, "nothing leaks");
  emulator::device_options().present = false;
  int count = -1;
  check(cudaGetDeviceCount(&count) == cudaErrorNoDevice && count == 0, "no device");
  emulator::device_options() = {.driver_version = 11000};
  check(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver, "old driver");
  emulator::device_options() = {};
}

void test_compute_capability() {
  constexpr const char* kVariable = "PADLESS_EMULATOR_COMPUTE_CAPABILITY";
  const auto reported = [](const char* value) {
    value != nullptr ? setenv(kVariable, value, 1) : unsetenv(kVariable);
    emulator::device_options() = emulator::DeviceOptions::from_environment();
    cudaDeviceProp properties{};
    check_cuda(cudaGetDeviceProperties(&properties, 0), "properties");
    return properties.major * 10 + properties.minor;
  };
  check(reported("80") == 80, "the compute capability of the environment");
  check(reported(nullptr) == 90, "a Hopper GPU unless the environment says otherwise");
}

void test_bad_arguments() {
  DeviceBuffer<int> a(kCount);
  std::vector<int> host(kCount);
  const size_t bytes = kCount * sizeof(int);
  check(cudaMemcpy(a.data(), host.data(), bytes, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue,
        "wrong direction");
  check(cudaMemcpy(a.data() + 1, host.data(), bytes, cudaMemcpyHostToDevice) == cudaErrorInvalidValue,
        "too long");
  check(cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(&a)) == cudaErrorInvalidResourceHandle,
        "bad stream");
  check(!launch(add_one, {.grid = 0, .block = 32}, a.data(), 1).is_ok(), "empty grid");
  check(!launch(add_one, {.grid = 1, .block = 1025}, a.data(), 1).is_ok(), "block too large");
  cudaGetLastError();
}

void test_host_function() {
  Stream stream;
  struct Seen {
    int calls = 0;
    cudaError_t inner = cudaSuccess;
  } seen;
  check_cuda(cudaLaunchHostFunc(
                 stream.handle,
                 [](void* argument) {
                   auto* s = static_cast<Seen*>(argument);
                   s->calls++;
                   s->inner = cudaStreamSynchronize(nullptr);
                 },
                 &seen),
             "host function");
  check_cuda(cudaStreamSynchronize(stream.handle), "synchronise");
  check(seen.calls == 1 && seen.inner == cudaErrorNotPermitted, "runs once and may not call the runtime");
  cudaGetLastError();
}

// Host threads share the device, each with its own stream.
void test_host_threads() {
  constexpr int kThreads = 3, kRounds = 20;
  std::vector<std::vector<int>> results(kThreads, std::vector<int>(kCount));
  std::vector<cudaError_t> errors(kThreads, cudaSuccess);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      cudaStream_t stream = nullptr;
      int* memory = nullptr;
      const size_t bytes = kCount * sizeof(int);
      const auto keep = [&](cudaError_t error) { errors[t] = errors[t] == cudaSuccess ? error : errors[t]; };
      keep(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
      keep(cudaMallocAsync(&memory, bytes, stream));
      keep(cudaMemsetAsync(memory, 0, bytes, stream));
      for (int round = 0; round < kRounds; round++) {
        if (!launch(add_one, on(stream), memory, kCount).is_ok()) keep(cudaErrorLaunchFailure);
        keep(cudaStreamSynchronize(stream));
      }
      keep(cudaMemcpyAsync(results[t].data(), memory, bytes, cudaMemcpyDeviceToHost, stream));
      keep(cudaFreeAsync(memory, stream));
      keep(cudaStreamSynchronize(stream));
      keep(cudaStreamDestroy(stream));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < kThreads; t++) {
    check_cuda(errors[t], "host thread");
    check(all_equal(results[t], kRounds), "each host thread's stream computes its own result");
  }
}

// ---- programmatic dependent launch

__global__ void primary(int* values) {
  wait_for_stream();
  __syncthreads();
  values[blockIdx.x * blockDim.x + threadIdx.x] += 7;
}

__global__ void dependent(const int* values, int* out) {
  wait_for_stream();
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = values[i ^ 32];
}

void test_overlapping_launches() {
  Stream stream;
  const LaunchConfig config{.grid = 2, .block = 64, .stream = {stream.handle, true}};
  for (int round = 0; round < 10; round++) {
    DeviceBuffer<int> values(std::vector<int>(128, 0)), out(128);
    for (int i = 0; i < 3; i++) check_ok(launch(primary, config, values.data()), "primary");
    check_ok(launch(dependent, config, values.data(), out.data()), "dependent");
    check(all_equal(out.download(), 21), "a kernel that waits sees all before it");
  }
  emulator::DeviceOptions& device = emulator::device_options();
  const int capability = std::exchange(device.compute_capability, 89);
  DeviceBuffer<int> values(128);
  check(!launch(primary, config, values.data()).is_ok(), "no overlap below compute capability 9.0");
  device.compute_capability = capability;
  emulator::take_failure();
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda::test;
  test_fork_and_join();
  test_missing_join_shows();
  test_default_stream_orders_blocking_streams();
  test_pageable_and_pinned_copies();
  test_free_under_queued_work();
  test_allocation_in_stream_order();
  test_canary();
  test_memory_limit_and_injection();
  test_compute_capability();
  test_bad_arguments();
  test_host_function();
  test_host_threads();
  test_overlapping_launches();
  return report("emulator_runtime");
}
