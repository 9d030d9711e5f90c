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

  /** An exception that the task throws ends the task, not the queue. */
  void enqueue(std::function<void()> task);

  /** Enqueues `done`, which is told what the first task that threw since the last completion has thrown. */
  void on_complete(std::function<void(Status)> done);

  /** Whether the caller is a task of this queue. */
  bool on_own_thread() const;

  /** Runs `op` in the queue's order and returns its status, or that of what it throws: at once on the
   * queue's thread, else by waiting. */
  Status run_in_order(const std::function<Status()>& op);

 private:
  struct Queue;
  std::shared_ptr<Queue> queue_;
  std::thread thread_;
};

}  // namespace padless
