// The device itself: its properties, errors, and the failures that tests inject.
#include <algorithm>
#include <cstdio>
#include <utility>

#include "cuda/emulator/runtime/device_state.h"

namespace padless::cuda::emulator {
namespace {

constexpr int kCudaVersion = 13000;

// Calls that work without a usable device.
bool works_without_device(const char* name) {
  const std::string_view call = name;
  return call == "cudaDriverGetVersion" || call == "cudaRuntimeGetVersion" || call == "cudaDeviceReset";
}

}  // namespace

Device& device() {
  static Device& instance = *new Device;  // never destroyed: buffers may outlive main()
  if (instance.streams.empty()) instance.streams.push_back(std::make_unique<CUstream_st>());
  return instance;
}

DeviceOptions& device_options() {
  static DeviceOptions current = DeviceOptions::from_environment();
  return current;
}

thread_local bool in_host_function = false;
thread_local bool named_device = false;

ApiCall::ApiCall(const char* name) : name_(name), early_(cudaSuccess) {
  if (in_host_function) {  // whose stream holds the lock
    early_ = cudaErrorNotPermitted;
    return;
  }
  lock_ = std::unique_lock(device().mutex);
  Device& d = device();
  for (size_t i = 0; i < d.injections.size(); i++) {
    Device::Injection& injection = d.injections[i];
    if (injection.call != name || injection.skip-- != 0) continue;
    early_ = injection.error;
    d.injections.erase(d.injections.begin() + static_cast<std::ptrdiff_t>(i));
    finish(early_);
    return;
  }
  if (works_without_device(name)) return;
  if (!device_options().present) {
    early_ = finish(cudaErrorNoDevice);
  } else if (device_options().driver_version < device_options().runtime_version) {
    early_ = finish(cudaErrorInsufficientDriver);
  } else if (d.sticky != cudaSuccess) {
    early_ = finish(d.sticky);
  }
}

cudaError_t ApiCall::fail(cudaError_t error, const std::string& text) {
  device().failure = std::string(name_) + ": " + text;
  return finish(error);
}

cudaError_t ApiCall::finish(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) device().last = error;
  return error;
}

void set_sticky(cudaError_t error, const std::string& text) {
  Device& d = device();
  if (d.sticky != cudaSuccess) return;
  d.sticky = d.last = error;
  d.sticky_text = d.failure = text;
}

std::string take_failure() {
  std::lock_guard lock(device().mutex);
  return std::exchange(device().failure, {});
}

void inject_failure(const std::string& call, cudaError_t error, unsigned calls_before) {
  std::lock_guard lock(device().mutex);
  device().injections.push_back({call, calls_before, error});
}

size_t device_bytes_in_use() {
  std::lock_guard lock(device().mutex);
  return device().bytes_in_use;
}

size_t queued_operations() {
  std::lock_guard lock(device().mutex);
  size_t count = 0;
  for (const auto& stream : device().streams) count += stream->queue.size();
  return count;
}

}  // namespace padless::cuda::emulator

using padless::cuda::emulator::ApiCall;
using padless::cuda::emulator::device;
using padless::cuda::emulator::device_options;
using padless::cuda::emulator::named_device;

cudaError_t cudaDriverGetVersion(int* version) {
  ApiCall call("cudaDriverGetVersion");
  *version = device_options().present ? device_options().driver_version : 0;
  return call.early();
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  ApiCall call("cudaRuntimeGetVersion");
  *version = device_options().runtime_version;
  return call.early();
}

cudaError_t cudaGetDeviceCount(int* count) {
  ApiCall call("cudaGetDeviceCount");
  *count = 0;
  if (call.early() != cudaSuccess) return call.early();
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int index) {
  ApiCall call("cudaSetDevice");
  if (call.early() != cudaSuccess) return call.early();
  named_device = index == 0;
  return call.finish(named_device ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int* index) {
  ApiCall call("cudaGetDevice");
  *index = 0;
  return call.early();
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int index) {
  ApiCall call("cudaGetDeviceProperties");
  if (call.early() != cudaSuccess) return call.early();
  if (index != 0) return call.finish(cudaErrorInvalidDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof(properties->name), "padless emulator");
  properties->totalGlobalMem = device_options().memory_bytes;
  properties->sharedMemPerBlock = 48 * 1024;
  properties->sharedMemPerBlockOptin = padless::cuda::emulator::kSharedMemoryLimit;
  properties->sharedMemPerMultiprocessor = padless::cuda::emulator::kSharedMemoryLimit + 1024;
  properties->regsPerBlock = 65536;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->major = device_options().compute_capability / 10;
  properties->minor = device_options().compute_capability % 10;
  properties->multiProcessorCount = device_options().multiprocessors;
  properties->l2CacheSize = 50 << 20;
  properties->memoryBusWidth = 5120;
  properties->asyncEngineCount = 2;
  properties->concurrentKernels = 1;
  properties->memoryPoolsSupported = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int index) {
  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, index);
  if (error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = properties.maxThreadsPerBlock;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = properties.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(properties.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrMemoryPoolsSupported:
      *value = properties.memoryPoolsSupported;
      break;
  }
  return cudaSuccess;
}

// On a machine with several, the answer is that of the thread's device: it must have said which.
cudaError_t emulatedFuncGetAttributes(cudaFuncAttributes* attributes) {
  ApiCall call("cudaFuncGetAttributes");
  if (call.early() != cudaSuccess) return call.early();
  if (!padless::cuda::emulator::named_device) {
    return call.fail(cudaErrorInvalidDevice, "the thread has not said of which device");
  }
  const int version = padless::cuda::emulator::device_options().compute_capability;
  *attributes = {.ptxVersion = version, .binaryVersion = version};
  return cudaSuccess;
}

cudaError_t emulatedBlocksPerMultiprocessor(int* blocks, int threads, size_t shared_bytes) {
  constexpr size_t kReservedBytes = 1024, kThreads = 2048, kBlocks = 32;  // of a multiprocessor
  if (threads <= 0) return cudaErrorInvalidValue;
  const size_t by_memory =
      (padless::cuda::emulator::kSharedMemoryLimit + kReservedBytes) / (shared_bytes + kReservedBytes);
  *blocks = static_cast<int>(std::min({kBlocks, by_memory, kThreads / static_cast<size_t>(threads)}));
  return cudaSuccess;
}

cudaError_t cudaDeviceReset() {
  ApiCall call("cudaDeviceReset");
  auto& d = device();
  for (auto& stream : d.streams) {
    stream->queue.clear();
    stream->capture.reset();
  }
  std::erase_if(d.streams, [](const auto& stream) { return stream->destroyed; });
  d.captures.clear();
  d.resets++;
  padless::cuda::emulator::release_all_memory();
  d.sticky = d.last = cudaSuccess;
  d.sticky_text.clear();
  return call.early();
}

cudaError_t cudaGetLastError() {
  std::lock_guard lock(device().mutex);
  return device().sticky != cudaSuccess ? device().sticky : std::exchange(device().last, cudaSuccess);
}

cudaError_t cudaPeekAtLastError() {
  std::lock_guard lock(device().mutex);
  return device().last;
}
