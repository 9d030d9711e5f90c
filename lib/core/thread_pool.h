// Worker threads shared by every model in the process.
#pragma once

#include <functional>

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
   * with count = 1.
   */
  void run(int threads, const std::function<void(int index, int count)>& work);

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

 private:
  ThreadPool();
  ~ThreadPool() = default;
  struct State;
  State* state_;
};

/** Logical CPUs this process may use: its affinity mask and its cgroup's quota, at least 1. */
int available_cpus();

}  // namespace padless
