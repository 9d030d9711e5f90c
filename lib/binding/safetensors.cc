#include "lib/binding/safetensors.h"

#include <utility>

#include "lib/binding/completion.h"

namespace padless::binding {
namespace {

/** openSafetensors(path): Promise<SafetensorsFile>. */
Napi::Value open_safetensors(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const std::string path = reader.string(info[0], "path");
  if (!reader.is_ok()) return reader.raise();
  auto file = std::make_shared<std::shared_ptr<const SafetensorsFile>>();
  return run_in_background(
      info.Env(),
      [file, path]() -> Status {
        Result<std::shared_ptr<const SafetensorsFile>> opened = SafetensorsFile::open(path);
        if (!opened.is_ok()) return opened.status();
        *file = opened.take();
        return Status::ok();
      },
      [file](Napi::Env env) { return SafetensorsHandle::wrap(env, std::move(*file)); });
}

}  // namespace

Napi::Value SafetensorsHandle::tensors(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto file = object_or_throw(env);
  if (!file) return env.Undefined();
  Napi::Array list = Napi::Array::New(env, file->entries().size());
  uint32_t index = 0;
  for (const SafetensorsEntry& entry : file->entries()) {
    Napi::Array shape = Napi::Array::New(env, entry.shape.size());
    for (uint32_t i = 0; i < entry.shape.size(); ++i) shape.Set(i, static_cast<double>(entry.shape[i]));
    Napi::Object tensor = Napi::Object::New(env);
    tensor.Set("name", entry.name);
    tensor.Set("dtype", entry.dtype->name);
    tensor.Set("shape", shape);
    list.Set(index++, tensor);
  }
  return list;
}

Napi::Value SafetensorsHandle::metadata(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto file = object_or_throw(env);
  if (!file) return env.Undefined();
  Napi::Object object = Napi::Object::New(env);
  for (const auto& [key, value] : file->metadata()) object.Set(key, value);
  return object;
}

void init_safetensors(Napi::Env env, Napi::Object exports) {
  SafetensorsHandle::define(env, {SafetensorsHandle::method<&SafetensorsHandle::tensors>("tensors"),
                                  SafetensorsHandle::method<&SafetensorsHandle::metadata>("metadata"),
                                  SafetensorsHandle::method<&SafetensorsHandle::close>("close")});
  export_function<open_safetensors>(env, exports, "openSafetensors");
}

}  // namespace padless::binding
