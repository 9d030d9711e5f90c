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

/** CPUs that a group's own quota is worth; 0: it has none. */
double quota_of(const std::string& group) {
  double quota = 0;
  double period = 0;
  std::ifstream unified(group + "/cpu.max");  // cgroup v2: "max 100000" or "150000 100000"
  if (!(unified >> quota >> period)) {
    std::ifstream(group + "/cpu.cfs_quota_us") >> quota;  // v1; -1: none
    std::ifstream(group + "/cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

/** The least quota of the group at `path` below `mount` and of all around it; 0: none. */
double least_quota(const std::string& mount, std::string path) {
  double least = 0;
  while (true) {
    const double quota = quota_of(mount + path);
    if (quota > 0 && (least == 0 || quota < least)) least = quota;
    const size_t parent = path.find_last_of('/');
    if (parent == std::string::npos) return least;
    path.resize(parent);
  }
}

}  // namespace

int quota_cpus(const std::string& mount, const std::string& membership) {
  // In a container with a namespace of its own the paths are "/"; without one they may name nothing that it
  // sees.
  std::string unified, cpu;
  std::ifstream lines(membership);
  for (std::string line; std::getline(lines, line);) {  // v2: "0::/path", v1: "4:cpu,cpuacct:/path"
    const size_t names = line.find(':') + 1;
    const size_t end = names > 0 ? line.find(':', names) : std::string::npos;
    if (end == std::string::npos) continue;
    const std::string controllers = "," + line.substr(names, end - names) + ",";
    if (controllers == ",,") unified = line.substr(end + 1);
    if (controllers.find(",cpu,") != std::string::npos) cpu = line.substr(end + 1);
  }
  const double quota = least_quota(mount, unified);
  return static_cast<int>(std::ceil(quota > 0 ? quota : least_quota(mount + "/cpu", cpu)));
}

int available_cpus() {
  const int affinity = std::max(1, affinity_cpus());
  const int quota = quota_cpus("/sys/fs/cgroup", "/proc/self/cgroup");
  return quota > 0 ? std::min(affinity, quota) : affinity;
}

}  // namespace padless
