#include "lib/binding/registry.h"

#include <map>
#include <mutex>
#include <tuple>

#include "lib/engine/cpu/cpu_engine.h"

namespace padless::binding {
namespace {

constexpr const char* kNoCuda = "this build has no CUDA support";

using Key = std::tuple<std::string, int, std::string>;

struct Registry {
  std::mutex mutex;
  std::map<Key, std::shared_ptr<Engine>> engines;
};

/** Never destroyed: at process exit streams of other threads may still be at work. */
Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

Result<std::shared_ptr<Engine>> create(const std::string& name, const EngineOptions& options) {
  if (name == "cpu") return create_cpu_engine({options.threads, options.isa});
  if (name.starts_with("cuda:")) return Status(Code::kDevice, concat(name, ": ", kNoCuda), "device");
  return Status(Code::kDevice, concat("there is no device \"", name, "\"; cpu is one"), "device");
}

}  // namespace

std::vector<DeviceListing> list_devices() { return {{"cpu", "cpu", ""}, {"cuda:0", "cuda", kNoCuda}}; }

Result<std::shared_ptr<Engine>> engine_for(const std::string& name, const EngineOptions& options) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const Key key = {name, options.threads, options.isa};
  if (const auto found = all.engines.find(key); found != all.engines.end()) return found->second;
  Result<std::shared_ptr<Engine>> engine = create(name, options);
  if (engine.is_ok()) all.engines.emplace(key, engine.value());
  return engine;
}

}  // namespace padless::binding
