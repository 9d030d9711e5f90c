// An ordered queue of tasks with a thread of its own, started with the first task: what streams are made of.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "lib/core/status.h"

namespace padless {

class TaskQueue {
 public:
  TaskQueue();
  /** Finishes what is queued. The last reference may be dropped by a task of the queue itself. */
  ~TaskQueue();
  TaskQueue(const TaskQueue&) = delete;
  TaskQueue& operator=(const TaskQueue&) = delete;

  void enqueue(std::function<void()> task);

  /** Whether the caller is a task of this queue. */
  bool on_own_thread() const;

  /** Runs `op` in the queue's order and returns its status: at once on the queue's thread, else by waiting.
   */
  Status run_in_order(const std::function<Status()>& op);

 private:
  struct Queue;
  std::shared_ptr<Queue> queue_;
  std::thread thread_;
};

}  // namespace padless
