// Worker threads shared by every model in the process.
#pragma once

#include <functional>
#include <string>

namespace padless {

/** Threads that run one parallel region at a time. They spin briefly between regions, then sleep. */
class ThreadPool {
 public:
  /** The process's pool; grows to the widest region asked for. Its threads never outlive the process's exit.
   */
  static ThreadPool& shared();

  /**
   * Calls work(index, count) once for each index in [0, count), the caller itself being index 0, and returns
   * when all calls have; count is max(1, threads), or less where the system has no more threads to give.
   * Regions of several callers take turns; a region started from inside a region runs on its caller alone,
   * with count = 1. If calls throw, the others run to their end all the same, and run() throws the first
   * exception: who makes threads wait for each other must not leave them waiting.
   */
  void run(int threads, const std::function<void(int index, int count)>& work);

  /** Wakes threads that sleep, since a region comes within microseconds; without one they sleep again. */
  void rouse();

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

 private:
  ThreadPool();
  ~ThreadPool() = default;
  struct State;
  State* state_;
};

/** Logical CPUs this process may use: its affinity mask and its cgroups' quotas, at least 1. */
int available_cpus();

/**
 * CPUs that the least quota is worth, rounded up, of the group that a process is in and of all around that;
 * 0: none has one. `mount`: where cgroups are; `membership`: the process's file `cgroup` in /proc.
 */
int quota_cpus(const std::string& mount, const std::string& membership);

}  // namespace padless
