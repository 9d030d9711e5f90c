// Devices: an engine as JS sees it.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>

#include "lib/binding/common.h"
#include "lib/engine/engine.h"

namespace padless::binding {

/** An environment's use of an engine. The counts may change on a stream's thread. */
struct DeviceState {
  std::shared_ptr<Engine> engine;
  std::atomic<int64_t> tensors = 0;
  std::atomic<int64_t> tensor_bytes = 0;
};

class DeviceHandle : public Handle<DeviceHandle, DeviceState> {
 public:
  static constexpr const char* kName = "Device";
  static constexpr napi_type_tag kTag = {0x70d1e9a3c58b4f26, 0xa94c3b7e6d02f815};
  using Handle::Handle;

  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value is_lost(const Napi::CallbackInfo& info);
  Napi::Value graphs(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  Napi::Value reset_peak(const Napi::CallbackInfo& info);
};

void init_device(Napi::Env env, Napi::Object exports);

}  // namespace padless::binding
