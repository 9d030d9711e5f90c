// Control of the emulated GPU: schedules, fault-finding modes, statistics and the last failure. For tests
// only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cuda/emulator/runtime/runtime_api.h"

namespace padless::cuda::emulator {

enum class Schedule {
  fifo,      // the next ready warp in order, lowest lane first
  random,    // any ready warp, any ready lane
  priority,  // random static warp priorities, sometimes drawn again: starves warps for a long time
};

struct Options {
  Schedule schedule = Schedule::fifo;
  uint64_t seed = 1;
  bool poison = true;               // shared and device memory start as 0xFF bytes (NaN)
  bool delayed_completion = false;  // cp.async, TMA and wgmma complete at a random legal moment, not at issue
  double preemption = 0.0;          // chance to switch threads at each instruction wrapper (not with fifo)
  bool joint_wgmma =
      true;  // a wgmma group completes for the warpgroup at once; false: each warp alone (stricter)
  unsigned resident_clusters = 1;  // clusters of one grid that are interleaved
  bool lazy_streams = true;  // queued work runs at a synchronisation or query; false: when it is enqueued
  bool overlap = false;      // every kernel is launched as if on a stream whose launches overlap

  // PADLESS_EMULATOR_SCHEDULE=fifo|random|priority, _SEED=n, _DELAY=0|1, _PREEMPTION=0.1, _RESIDENT=n,
  // _JOINT_WGMMA=0|1, _LAZY=0|1, _OVERLAP=0|1, _POISON=0|1
  static Options from_environment();
};

// The options of the next launch. Read from the environment at first use.
Options& options();

struct Statistics {
  uint64_t switches = 0;     // fiber switches
  uint64_t collectives = 0;  // lane arrivals at warp collectives
  uint64_t blocks = 0;       // blocks started
  uint64_t early_loads = 0;  // TMA loads of threads that had not yet waited for the kernel ahead
};
Statistics& statistics();

// What went wrong in the last failed launch or runtime call: a deadlock report, a divergent collective, a use
// after free ... with the kernel's file and line. Empty when nothing failed since the last call.
std::string take_failure();

// The emulated device. Change it between tests, with nothing allocated or queued.
struct DeviceOptions {
  bool present = true;
  int driver_version = 13000, runtime_version = 13000;  // cudaErrorInsufficientDriver when the first is lower
  int compute_capability = 90;
  int multiprocessors = 4;
  size_t memory_bytes = size_t{1} << 30;  // what cudaMalloc and cudaMallocAsync can give

  // PADLESS_EMULATOR_COMPUTE_CAPABILITY=80: the kernels of sm90 folders are not chosen
  static DeviceOptions from_environment();
};
DeviceOptions& device_options();

// The call of that name ("cudaMalloc", "launch", ...) returns `error` once, after `calls_before` more that do
// not.
void inject_failure(const std::string& call, cudaError_t error, unsigned calls_before = 0);
size_t device_bytes_in_use();
size_t queued_operations();

}  // namespace padless::cuda::emulator
