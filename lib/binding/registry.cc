#include "lib/binding/registry.h"

#include <map>
#include <mutex>
#include <tuple>

#include "lib/engine/cpu/cpu_engine.h"
#include "lib/engine/cuda/cuda_engine.h"

namespace padless::binding {
namespace {

using Key = std::tuple<std::string, int, std::string, bool, bool, bool, NormFusion, AttentionStrategy,
                       std::vector<int64_t>, int>;

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
  if (name == "cpu") return create_cpu_engine({options.threads, options.isa, options.batch_invariant});
  const std::string kind = name.substr(0, name.find(':'));
  const std::vector<CudaListing> gpus = list_cuda_devices();
  PADLESS_CHECK(kind != "emulator" || gpus[0].name.starts_with(kind), Code::kDevice, "device", name,
                ": the emulator is in an addon of its own, which only padless's tests build and load");
  PADLESS_CHECK(gpus[0].name.starts_with(kind), Code::kDevice, "device", "there is no device \"", name,
                "\"; cpu and ", gpus[0].name, " are known");
  return create_cuda_engine(name, {.batch_invariant = options.batch_invariant,
                                   .graphs = options.graphs,
                                   .overlap = options.overlap,
                                   .norm_fusion = options.norm_fusion,
                                   .attention = options.attention});
}

}  // namespace

std::vector<DeviceListing> list_devices() {
  std::vector<DeviceListing> devices = {{"cpu", "cpu", ""}};
  for (const CudaListing& gpu : list_cuda_devices())
    devices.push_back(
        {gpu.name, gpu.name.substr(0, gpu.name.find(':')), gpu.reason, gpu.description, gpu.isa});
  return devices;
}

Result<std::shared_ptr<Engine>> engine_for(const std::string& name, const EngineOptions& options) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const Key key = {name,
                   options.threads,
                   options.isa,
                   options.batch_invariant,
                   options.graphs,
                   options.overlap,
                   options.norm_fusion,
                   options.attention.strategy,
                   options.attention.bucket_edges,
                   options.attention.streams};
  if (const auto found = all.engines.find(key); found != all.engines.end() && !found->second->is_lost())
    return found->second;
  Result<std::shared_ptr<Engine>> engine = create(name, options);
  if (engine.is_ok()) all.engines.insert_or_assign(key, engine.value());
  return engine;
}

}  // namespace padless::binding
