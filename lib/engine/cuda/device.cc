#include "lib/engine/cuda/device.h"

#include <utility>

#include "lib/engine/cuda/devices.h"

namespace padless::cuda {

Result<std::shared_ptr<CudaDevice>> CudaDevice::open(int index, bool was_lost) {
  if (was_lost) {
    static_cast<void>(cudaSetDevice(index));  // may only repeat the old error
    static_cast<void>(cudaDeviceReset());
    static_cast<void>(cudaGetLastError());
  }
  const std::string reason = why_unusable(index);
  PADLESS_CHECK(reason.empty(), Code::kDevice, "device", device_name(index), ": ", reason);
  cudaDeviceProp native{};
  PADLESS_RETURN_IF_ERROR(to_status(cudaGetDeviceProperties(&native, index)));
  Result<DeviceProperties> properties = device_properties(index);
  if (!properties.is_ok()) return properties.status();
  auto device = std::make_shared<CudaDevice>(index, native.name, properties.value());
  PADLESS_RETURN_IF_ERROR(device->enter());
  return device;
}

CudaDevice::CudaDevice(int index, std::string description, const DeviceProperties& properties)
    : index_(index),
      name_(device_name(index)),
      description_(std::move(description)),
      properties_(properties) {}

Status CudaDevice::enter() {
  if (lost_) {
    const std::lock_guard lock(mutex_);
    return {Code::kDevice,
            concat(name_, " has failed (", cause_,
                   ") and with it all that was on it; open the device and load the model again"),
            "device"};
  }
  return check(cudaSetDevice(index_));
}

Status CudaDevice::check(Status status) {
  if (status.is_ok()) return status;
  if (status.code() == Code::kDevice || status.code() == Code::kOutOfMemory) {
    static_cast<void>(cudaGetLastError());  // the runtime would report it again at some later launch
    size_t available = 0;
    size_t total = 0;
    if (status.code() == Code::kDevice && !lost_ && cudaMemGetInfo(&available, &total) != cudaSuccess) {
      const std::lock_guard lock(mutex_);
      cause_ = status.message();
      lost_ = true;
    }
    return {status.code(), concat(name_, ": ", status.message()), "device"};
  }
  return status;
}

Result<SharedStream> create_stream(const std::shared_ptr<CudaDevice>& device) {
  PADLESS_RETURN_IF_ERROR(device->enter());
  cudaStream_t stream = nullptr;
  PADLESS_RETURN_IF_ERROR(device->check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)));
  return SharedStream(stream, [device](cudaStream_t handle) {
    if (device->enter().is_ok()) static_cast<void>(cudaStreamDestroy(handle));
  });
}

Result<SharedEvent> create_event(const std::shared_ptr<CudaDevice>& device, bool timing) {
  PADLESS_RETURN_IF_ERROR(device->enter());
  cudaEvent_t event = nullptr;
  const unsigned flags = cudaEventBlockingSync | (timing ? 0u : cudaEventDisableTiming);
  PADLESS_RETURN_IF_ERROR(device->check(cudaEventCreateWithFlags(&event, flags)));
  return SharedEvent(event, [device](cudaEvent_t handle) {
    if (device->enter().is_ok()) static_cast<void>(cudaEventDestroy(handle));
  });
}

Result<SharedEvent> record_event(const std::shared_ptr<CudaDevice>& device, const SharedStream& stream) {
  Result<SharedEvent> event = create_event(device);
  if (event.is_ok()) {
    PADLESS_RETURN_IF_ERROR(device->check(cudaEventRecord(event.value().get(), stream.get())));
  }
  return event;
}

}  // namespace padless::cuda
