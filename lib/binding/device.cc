#include "lib/binding/device.h"

#include "lib/binding/registry.h"

namespace padless::binding {
namespace {

/** listDevices(): {name, kind, reason, description, isa}[], `reason` empty for those that can be used. */
Napi::Value list(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array devices = Napi::Array::New(env);
  for (const DeviceListing& listing : list_devices()) {
    Napi::Object device = Napi::Object::New(env);
    device.Set("name", listing.name);
    device.Set("kind", listing.kind);
    device.Set("reason", listing.reason);
    device.Set("description", listing.description);
    device.Set("isa", listing.isa);
    devices.Set(devices.Length(), device);
  }
  return devices;
}

/** attention: {strategy, bucketEdges: Int32Array, streams}. */
AttentionPlanOptions read_attention(Reader& reader, Napi::Value value) {
  AttentionPlanOptions options;
  const Napi::Object attention = reader.object(value, "attention");
  options.strategy = reader.one_of<AttentionStrategy>(attention.Get("strategy"), "strategy",
                                                      {{"auto", AttentionStrategy::kAuto},
                                                       {"single", AttentionStrategy::kSingle},
                                                       {"grouped", AttentionStrategy::kGrouped},
                                                       {"persistent", AttentionStrategy::kPersistent}});
  const std::span<const int32_t> edges = reader.int32s(attention.Get("bucketEdges"), "bucketEdges");
  options.bucket_edges.assign(edges.begin(), edges.end());
  options.streams = static_cast<int>(reader.integer(attention.Get("streams"), "streams", 1));
  return options;
}

/** openDevice(name, threads, isa, batchInvariant, graphs, overlap, normFusion, attention): Device. */
Napi::Value open(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const std::string name = reader.string(info[0], "device");
  EngineOptions options;
  options.threads = static_cast<int>(reader.integer(info[1], "threads"));
  options.isa = reader.string(info[2], "isa");
  options.batch_invariant = reader.boolean(info[3], "determinism");
  options.graphs = reader.boolean(info[4], "graphs");
  options.overlap = reader.boolean(info[5], "overlap");
  options.norm_fusion = reader.one_of<NormFusion>(
      info[6], "normFusion",
      {{"auto", NormFusion::kAuto}, {"always", NormFusion::kAlways}, {"never", NormFusion::kNever}});
  options.attention = read_attention(reader, info[7]);
  if (!reader.is_ok()) return reader.raise();

  Result<std::shared_ptr<Engine>> engine = engine_for(name, options);
  if (!engine.is_ok()) return throw_status(info.Env(), engine.status());
  auto state = std::make_shared<DeviceState>();
  state->engine = engine.take();
  return DeviceHandle::wrap(info.Env(), std::move(state));
}

}  // namespace

Napi::Value DeviceHandle::info(const Napi::CallbackInfo& info) {
  const auto state = object_or_throw(info.Env());
  if (!state) return info.Env().Undefined();
  const DeviceInfo& device = state->engine->info();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("name", device.name);
  result.Set("description", device.description);
  result.Set("isa", device.isa);
  if (device.threads > 0) result.Set("threads", device.threads);
  return result;
}

Napi::Value DeviceHandle::memory(const Napi::CallbackInfo& info) {
  const auto state = object_or_throw(info.Env());
  if (!state) return info.Env().Undefined();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("allocated", static_cast<double>(state->engine->allocated_bytes()));
  result.Set("peak", static_cast<double>(state->engine->peak_bytes()));
  result.Set("tensors", static_cast<double>(state->tensors));
  result.Set("tensorBytes", static_cast<double>(state->tensor_bytes));
  return result;
}

Napi::Value DeviceHandle::reset_peak(const Napi::CallbackInfo& info) {
  const auto state = object_or_throw(info.Env());
  if (state) state->engine->reset_peak_bytes();
  return info.Env().Undefined();
}

Napi::Value DeviceHandle::graphs(const Napi::CallbackInfo& info) {
  const auto state = object_or_throw(info.Env());
  if (!state) return info.Env().Undefined();
  const RecordingCounts counts = state->engine->recording_counts();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("recorded", static_cast<double>(counts.recorded));
  result.Set("replayed", static_cast<double>(counts.replayed));
  result.Set("refused", static_cast<double>(counts.refused));
  return result;
}

Napi::Value DeviceHandle::is_lost(const Napi::CallbackInfo& info) {
  const auto state = object_or_throw(info.Env());
  return Napi::Boolean::New(info.Env(), state && state->engine->is_lost());
}

void init_device(Napi::Env env, Napi::Object exports) {
  DeviceHandle::define(env, {DeviceHandle::method<&DeviceHandle::graphs>("graphs"),
                             DeviceHandle::method<&DeviceHandle::info>("info"),
                             DeviceHandle::method<&DeviceHandle::is_lost>("isLost"),
                             DeviceHandle::method<&DeviceHandle::memory>("memory"),
                             DeviceHandle::method<&DeviceHandle::reset_peak>("resetPeak")});
  export_function<list>(env, exports, "listDevices");
  export_function<open>(env, exports, "openDevice");
}

}  // namespace padless::binding
