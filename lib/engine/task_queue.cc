#include "lib/engine/task_queue.h"

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <system_error>
#include <thread>

namespace padless {

struct TaskQueue::Queue {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> tasks;
  bool closed = false;     // no task will follow: the thread ends when the queue is empty
  std::thread::id runner;  // who drains the queue now; a default id: nobody

  /** Runs tasks; returns when the queue is empty and, if `until_closed`, the stream is gone. */
  void drain(bool until_closed) {
    std::unique_lock lock(mutex);
    runner = std::this_thread::get_id();
    while (true) {
      if (until_closed) changed.wait(lock, [this] { return closed || !tasks.empty(); });
      if (tasks.empty()) break;
      {
        const std::function<void()> task = std::move(tasks.front());
        tasks.pop_front();
        lock.unlock();
        task();
      }  // the captures die outside the lock: the stream itself may be among them
      lock.lock();
    }
    runner = {};
  }
};

TaskQueue::TaskQueue() : queue_(std::make_shared<Queue>()) {}

TaskQueue::~TaskQueue() {
  {
    const std::lock_guard lock(queue_->mutex);
    queue_->closed = true;
  }
  queue_->changed.notify_all();
  if (!thread_.joinable()) return;
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();  // it holds the queue, and ends by itself when it is empty
  } else {
    thread_.join();
  }
}

void TaskQueue::enqueue(std::function<void()> task) {
  const std::shared_ptr<Queue> queue = queue_;  // the task may hold the last reference to this object
  bool drain_here = false;
  {
    const std::lock_guard lock(queue->mutex);
    queue->tasks.push_back(std::move(task));
    // Nor beside a caller that works the queue off, for lack of a thread: it comes to this task, too.
    if (!thread_.joinable() && queue->runner == std::thread::id()) {
      try {
        thread_ = std::thread([queue] { queue->drain(true); });
      } catch (const std::system_error&) {
        // The system has no thread to give: late is better than never, so the caller works the queue off.
        drain_here = true;
        queue->runner = std::this_thread::get_id();
      }
    }
  }
  queue->changed.notify_one();
  if (drain_here) queue->drain(false);
}

bool TaskQueue::on_own_thread() const {
  const std::lock_guard lock(queue_->mutex);
  return queue_->runner == std::this_thread::get_id();
}

Status TaskQueue::run_in_order(const std::function<Status()>& op) {
  if (on_own_thread()) return op();
  const auto finished = std::make_shared<std::promise<Status>>();
  std::future<Status> status = finished->get_future();
  enqueue([finished, &op] { finished->set_value(op()); });
  return status.get();
}

}  // namespace padless
