#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <thread>

#include "lib/core/thread_pool.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace padless {
namespace {

int affinity_cpus() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

/** CPUs that the cgroup's quota is worth, rounded up; 0: no quota. */
int quota_cpus() {
  double quota = 0;
  double period = 0;
  std::ifstream unified("/sys/fs/cgroup/cpu.max");  // cgroup v2: "max 100000" or "150000 100000"
  if (!(unified >> quota >> period)) {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;  // v1; -1: none
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? static_cast<int>(std::ceil(quota / period)) : 0;
}

}  // namespace

int available_cpus() {
  const int affinity = std::max(1, affinity_cpus());
  const int quota = quota_cpus();
  return quota > 0 ? std::min(affinity, quota) : affinity;
}

}  // namespace padless
