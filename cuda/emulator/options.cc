// Options from the environment, statistics, and the last failure.
#include <cstdlib>
#include <string_view>

#include "cuda/emulator/state.h"

namespace padless::cuda::emulator {

namespace {

template <class Apply>
void read(const char* name, Apply apply) {
  const char* value = std::getenv((std::string("PADLESS_EMULATOR_") + name).c_str());
  if (value != nullptr) apply(value);
}

}  // namespace

Options Options::from_environment() {
  Options options;
  read("SCHEDULE", [&](std::string_view v) {
    options.schedule = v == "random"     ? Schedule::random
                       : v == "priority" ? Schedule::priority
                                         : Schedule::fifo;
  });
  read("SEED", [&](const char* v) { options.seed = std::strtoull(v, nullptr, 0); });
  read("DELAY", [&](const char* v) { options.delayed_completion = std::atoi(v) != 0; });
  read("PREEMPTION", [&](const char* v) { options.preemption = std::atof(v); });
  read("RESIDENT", [&](const char* v) { options.resident_clusters = static_cast<unsigned>(std::atoi(v)); });
  read("JOINT_WGMMA", [&](const char* v) { options.joint_wgmma = std::atoi(v) != 0; });
  read("LAZY", [&](const char* v) { options.lazy_streams = std::atoi(v) != 0; });
  read("OVERLAP", [&](const char* v) { options.overlap = std::atoi(v) != 0; });
  read("POISON", [&](const char* v) { options.poison = std::atoi(v) != 0; });
  return options;
}

DeviceOptions DeviceOptions::from_environment() {
  DeviceOptions options;
  read("COMPUTE_CAPABILITY", [&](const char* v) { options.compute_capability = std::atoi(v); });
  return options;
}

Options& options() {
  static Options current = Options::from_environment();
  return current;
}

Statistics& statistics() {
  static Statistics current;
  return current;
}

}  // namespace padless::cuda::emulator
