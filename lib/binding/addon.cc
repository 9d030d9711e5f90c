// The addon's entry: one init function a file. ts/native.ts has the types of what they export.
#include <napi.h>

#include "lib/binding/common.h"
#include "lib/binding/completion.h"
#include "lib/binding/device.h"
#include "lib/binding/encoder.h"
#include "lib/binding/ops.h"
#include "lib/binding/safetensors.h"
#include "lib/binding/stream.h"
#include "lib/binding/tensor.h"

namespace padless::binding {
namespace {

void end_environment(EnvData* data) {
  data->completion->close();
  for (const auto& [state, owner] : data->streams) state->cancel();
  for (const auto& [state, owner] : data->streams) state->drain();
  data->streams.clear();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* data = new EnvData;
  env.SetInstanceData(data);  // deletes it after the cleanup hook
  data->completion = Completion::create(env);
  env.AddCleanupHook(end_environment, data);
  init_device(env, exports);
  init_stream(env, exports);
  init_tensor(env, exports);
  init_linear(env, exports);
  init_norm(env, exports);
  init_attention(env, exports);
  init_pool(env, exports);
  init_max_sim(env, exports);
  init_gather(env, exports);
  init_safetensors(env, exports);
  init_encoder(env, exports);
  return exports;
}

}  // namespace
}  // namespace padless::binding

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) {
  return padless::binding::call_guarded(env, [&] { return padless::binding::init(env, exports); })
      .As<Napi::Object>();
}

NODE_API_MODULE(padless, init_addon)
