// Mapped safetensors files as JS holds them.
#pragma once

#include <napi.h>

#include "lib/binding/common.h"
#include "lib/io/safetensors.h"

namespace padless::binding {

/** dispose() and close() are one: the mapping itself ends with its last holder, such as a running load. */
class SafetensorsHandle : public Handle<SafetensorsHandle, const SafetensorsFile> {
 public:
  static constexpr const char* kName = "SafetensorsFile";
  static constexpr napi_type_tag kTag = {0x5d0b3c9e71f2486a, 0xa8e47d1609b5cf32};
  using Handle::Handle;

  /** [{name, dtype, shape}], by position in the file; dtype as the format spells it. */
  Napi::Value tensors(const Napi::CallbackInfo& info);
  /** {key: value} of __metadata__. */
  Napi::Value metadata(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info) { dispose(info); }
};

void init_safetensors(Napi::Env env, Napi::Object exports);

}  // namespace padless::binding
