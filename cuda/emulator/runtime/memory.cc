// Device and pinned memory: allocations with canaries, copies, and which allocation an operation refers to.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "cuda/emulator/runtime/device_state.h"

namespace padless::cuda::emulator {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kCanaryBytes = PADLESS_EMULATOR_ASAN ? 0 : 64;  // AddressSanitizer's red zone does it better
constexpr int kCanary = 0xA5, kPoison = 0xFF;

size_t rounded(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

void erase_records_in(uintptr_t first, uintptr_t end) {
  auto& allocations = device().allocations;
  auto record = allocations.lower_bound(first);
  while (record != allocations.end() && record->first < end) record = allocations.erase(record);
  record = allocations.lower_bound(first);
  if (record == allocations.begin()) return;
  --record;
  if (record->second.state == MemoryState::freed && record->first + record->second.bytes > first) {
    allocations.erase(record);
  }
}

cudaError_t allocate(ApiCall& call, void** pointer, size_t bytes, bool pinned, MemoryState state) {
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  Device& d = device();
  if (!pinned && (bytes > device_options().memory_bytes ||
                  d.bytes_in_use + rounded(bytes) > device_options().memory_bytes)) {
    return call.fail(cudaErrorMemoryAllocation, std::to_string(bytes) + " bytes asked for, " +
                                                    std::to_string(d.bytes_in_use) + " in use");
  }
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, bytes + kCanaryBytes) != 0)
    return call.finish(cudaErrorMemoryAllocation);
  if (options().poison) std::memset(memory, kPoison, bytes);
  auto* base = static_cast<uint8_t*>(memory);
  std::memset(base + bytes, kCanary, kCanaryBytes);
  const auto address = reinterpret_cast<uintptr_t>(base);
  erase_records_in(address, address + bytes + kCanaryBytes);
  d.allocations[address] = {base, bytes, d.next_id++, pinned, state};
  if (!pinned) d.bytes_in_use += rounded(bytes);
  *pointer = memory;
  return cudaSuccess;
}

std::string canary_report(const Allocation& allocation) {
  const uint8_t* canary = allocation.base + allocation.bytes;
  const bool intact =
      std::all_of(canary, canary + kCanaryBytes, [](uint8_t byte) { return byte == kCanary; });
  return intact ? ""
                : "memory written past the end of an allocation of " + std::to_string(allocation.bytes) +
                      " bytes";
}

std::string release(Allocation& allocation) {
  std::string report = canary_report(allocation);
  allocation.state = MemoryState::freed;
  if (!allocation.pinned) device().bytes_in_use -= rounded(allocation.bytes);
  std::free(allocation.base);
  return report;
}

Allocation* find_base(const void* pointer, bool pinned) {
  const auto record = device().allocations.find(reinterpret_cast<uintptr_t>(pointer));
  const bool usable = record != device().allocations.end() && record->second.state != MemoryState::freed &&
                      record->second.pinned == pinned;
  return usable ? &record->second : nullptr;
}

cudaError_t free_now(ApiCall& call, void* pointer, bool pinned) {
  if (pointer == nullptr) return cudaSuccess;
  Allocation* allocation = find_base(pointer, pinned);
  if (allocation == nullptr) return call.fail(cudaErrorInvalidValue, "not an allocation, or freed already");
  if (is_used_by_queued_work(allocation->id)) {
    return call.fail(cudaErrorInvalidValue, "the memory is used by work that is still queued");
  }
  const std::string report = release(*allocation);
  if (!report.empty()) {
    set_sticky(cudaErrorIllegalAddress, report);
    return call.finish(cudaErrorIllegalAddress);
  }
  return cudaSuccess;
}

// Why [pointer, pointer + bytes) is not memory of the kind, or empty.
std::string check_range(const void* pointer, size_t bytes, bool on_device) {
  const Allocation* allocation = find_allocation(pointer);
  const bool is_device = allocation != nullptr && !allocation->pinned;
  if (is_device != on_device)
    return on_device ? "not device memory (or freed)" : "device memory given as host memory";
  if (allocation == nullptr) return "";
  const auto offset = static_cast<size_t>(static_cast<const uint8_t*>(pointer) - allocation->base);
  return bytes > allocation->bytes - offset ? "more bytes than the allocation has" : "";
}

struct Direction {
  bool from_device, to_device;
};

Direction direction_of(const void* destination, const void* source, cudaMemcpyKind kind) {
  const auto is_device = [](const void* pointer) {
    const Allocation* allocation = find_allocation(pointer);
    return allocation != nullptr && !allocation->pinned;
  };
  switch (kind) {
    case cudaMemcpyHostToHost:
      return {false, false};
    case cudaMemcpyHostToDevice:
      return {false, true};
    case cudaMemcpyDeviceToHost:
      return {true, false};
    case cudaMemcpyDeviceToDevice:
      return {true, true};
    case cudaMemcpyDefault:
      break;
  }
  return {is_device(source), is_device(destination)};
}

cudaError_t copy(ApiCall& call, void* destination, const void* source, size_t bytes, cudaMemcpyKind kind,
                 cudaStream_t stream, bool synchronous) {
  stream = resolve_stream(stream);
  if (stream == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  if (bytes == 0) return cudaSuccess;
  const Direction direction = direction_of(destination, source, kind);
  std::string problem = check_range(destination, bytes, direction.to_device);
  if (!problem.empty()) return call.fail(cudaErrorInvalidValue, "destination is " + problem);
  problem = check_range(source, bytes, direction.from_device);
  if (!problem.empty()) return call.fail(cudaErrorInvalidValue, "source is " + problem);
  const bool pageable_source = find_allocation(source) == nullptr,
             pageable_target = find_allocation(destination) == nullptr;
  Operation operation{.what = "copy"};
  const void* ends[2] = {destination, source};
  operation.uses = find_uses(ends, sizeof(ends));
  if (pageable_source && !synchronous && stream->capture == nullptr) {
    const auto* first = static_cast<const uint8_t*>(source);
    auto snapshot = std::make_shared<std::vector<uint8_t>>(first, first + bytes);
    operation.run = [=] { return std::memcpy(destination, snapshot->data(), bytes), std::string(); };
  } else {
    operation.run = [=] { return std::memmove(destination, source, bytes), std::string(); };
  }
  const bool waits = synchronous || (pageable_target && !pageable_source && stream->capture == nullptr);
  if (const cudaError_t error = enqueue(call, stream, std::move(operation))) return error;
  if (!waits) return cudaSuccess;
  const cudaError_t error = run_until(stream, [=] { return stream->queue.empty(); });
  sanitizer::acquire(stream);
  return call.finish(error);
}

}  // namespace

Allocation* find_allocation(const void* pointer) {
  auto& allocations = device().allocations;
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  auto record = allocations.upper_bound(address);
  if (record == allocations.begin()) return nullptr;
  --record;
  Allocation& allocation = record->second;
  // The host's allocator may use a freed address again, for memory that is none of ours.
  if (allocation.state == MemoryState::freed || address - record->first >= allocation.bytes) return nullptr;
  return &allocation;
}

std::vector<Use> find_uses(const void* bytes, size_t count) {
  std::vector<Use> uses;
  const auto* words = static_cast<void* const*>(bytes);
  for (size_t i = 0; i < count / sizeof(void*); i++) {
    const Allocation* allocation = find_allocation(words[i]);
    if (allocation == nullptr) continue;
    const bool known =
        std::any_of(uses.begin(), uses.end(), [&](const Use& use) { return use.id == allocation->id; });
    if (!known) uses.push_back({allocation->id, reinterpret_cast<uintptr_t>(allocation->base)});
  }
  return uses;
}

std::string check_uses(const Operation& operation) {
  for (const Use& use : operation.uses) {
    const auto record = device().allocations.find(use.base);
    const bool gone = record == device().allocations.end() || record->second.id != use.id ||
                      record->second.state == MemoryState::freed;
    if (gone) return std::string(operation.what) + " uses memory that was freed after the work was queued";
    if (record->second.state == MemoryState::reserved) {
      return std::string(operation.what) +
             " uses memory before its allocation in stream order (an event is missing)";
    }
  }
  return "";
}

std::string check_canaries(const std::vector<Use>& uses) {
  for (const Use& use : uses) {
    const auto record = device().allocations.find(use.base);
    if (record == device().allocations.end() || record->second.state == MemoryState::freed) continue;
    const std::string report = canary_report(record->second);
    if (!report.empty()) return report;
  }
  return "";
}

void release_all_memory() {
  for (auto& [base, allocation] : device().allocations) {
    if (allocation.state != MemoryState::freed) release(allocation);
  }
}

}  // namespace padless::cuda::emulator

using namespace padless::cuda::emulator;

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  ApiCall call("cudaMalloc");
  if (call.early() != cudaSuccess) return call.early();
  if (forbids_unsafe_calls()) return call.finish(invalidate_capture(nullptr));
  return allocate(call, pointer, bytes, false, MemoryState::live);
}

cudaError_t cudaFree(void* pointer) {
  ApiCall call("cudaFree");
  if (call.early() != cudaSuccess) return call.early();
  if (forbids_unsafe_calls()) return call.finish(invalidate_capture(nullptr));
  return free_now(call, pointer, false);
}

cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t stream) {
  ApiCall call("cudaMallocAsync");
  if (call.early() != cudaSuccess) return call.early();
  stream = resolve_stream(stream);
  if (stream == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr)
    return call.fail(cudaErrorNotSupported, "allocation nodes are not emulated");
  const cudaError_t error = allocate(call, pointer, bytes, false, MemoryState::reserved);
  if (error != cudaSuccess || *pointer == nullptr) return error;
  Operation operation{.what = "allocation"};
  operation.run = [base = reinterpret_cast<uintptr_t>(*pointer)] {
    device().allocations[base].state = MemoryState::live;
    return std::string();
  };
  return enqueue(call, stream, std::move(operation));
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  ApiCall call("cudaFreeAsync");
  if (call.early() != cudaSuccess) return call.early();
  stream = resolve_stream(stream);
  if (stream == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  if (pointer == nullptr) return cudaSuccess;
  if (stream->capture != nullptr) return call.fail(cudaErrorNotSupported, "free nodes are not emulated");
  if (find_base(pointer, false) == nullptr)
    return call.fail(cudaErrorInvalidValue, "not an allocation, or freed");
  Operation operation{.what = "cudaFreeAsync"};
  operation.uses = find_uses(&pointer, sizeof(pointer));
  operation.run = [base = reinterpret_cast<uintptr_t>(pointer)] {
    return release(device().allocations[base]);
  };
  return enqueue(call, stream, std::move(operation));
}

cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  ApiCall call("cudaMallocHost");
  if (call.early() != cudaSuccess) return call.early();
  return allocate(call, pointer, bytes, true, MemoryState::live);
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void* pointer) {
  ApiCall call("cudaFreeHost");
  if (call.early() != cudaSuccess) return call.early();
  return free_now(call, pointer, true);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  ApiCall call("cudaPointerGetAttributes");
  if (call.early() != cudaSuccess) return call.early();
  const Allocation* allocation = find_allocation(pointer);
  *attributes = {};
  if (allocation == nullptr) return cudaSuccess;
  attributes->type = allocation->pinned ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
  attributes->devicePointer = const_cast<void*>(pointer);
  attributes->hostPointer = allocation->pinned ? const_cast<void*>(pointer) : nullptr;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  ApiCall call("cudaMemGetInfo");
  if (call.early() != cudaSuccess) return call.early();
  *total = device_options().memory_bytes;
  *available = *total - std::min(*total, device().bytes_in_use);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind) {
  ApiCall call("cudaMemcpy");
  if (call.early() != cudaSuccess) return call.early();
  return copy(call, destination, source, bytes, kind, nullptr, true);
}

cudaError_t cudaMemcpyAsync(void* destination, const void* source, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  ApiCall call("cudaMemcpyAsync");
  if (call.early() != cudaSuccess) return call.early();
  return copy(call, destination, source, bytes, kind, stream, false);
}

cudaError_t cudaMemsetAsync(void* destination, int value, size_t bytes, cudaStream_t stream) {
  ApiCall call("cudaMemsetAsync");
  if (call.early() != cudaSuccess) return call.early();
  stream = resolve_stream(stream);
  if (stream == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  if (bytes == 0) return cudaSuccess;
  const std::string problem = check_range(destination, bytes, true);
  if (!problem.empty()) return call.fail(cudaErrorInvalidValue, "destination is " + problem);
  Operation operation{.what = "memset"};
  operation.uses = find_uses(&destination, sizeof(destination));
  operation.run = [=] { return std::memset(destination, value, bytes), std::string(); };
  return enqueue(call, stream, std::move(operation));
}

cudaError_t cudaMemset(void* destination, int value, size_t bytes) {
  return cudaMemsetAsync(destination, value, bytes, nullptr);
}
