#include "lib/engine/task_queue.h"

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "lib/core/guard.h"

namespace padless {

struct TaskQueue::Queue {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> tasks;
  Status failure;          // of the first task that threw
  bool closed = false;     // no task will follow: the thread ends when the queue is empty
  std::thread::id runner;  // who drains the queue now; a default id: nobody

  /** Runs tasks; returns when the queue is empty and, if `until_closed`, the stream is gone. */
  void drain(bool until_closed) {
    std::unique_lock lock(mutex);
    runner = std::this_thread::get_id();
    while (true) {
      Status status;
      if (until_closed) changed.wait(lock, [this] { return closed || !tasks.empty(); });
      if (tasks.empty()) break;
      {
        const std::function<void()> task = std::move(tasks.front());
        tasks.pop_front();
        lock.unlock();
        status = guarded([&] {
          task();
          return Status::ok();
        });
      }  // the captures die outside the lock: the stream itself may be among them
      lock.lock();
      if (failure.is_ok()) failure = std::move(status);
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
        drain_here = true;
      } catch (const std::bad_alloc&) {
        drain_here = true;
      }
      // The system has no thread to give: late is better than never, so the caller works the queue off.
      if (drain_here) queue->runner = std::this_thread::get_id();
    }
  }
  queue->changed.notify_one();
  if (drain_here) queue->drain(false);
}

void TaskQueue::on_complete(std::function<void(Status)> done) {
  enqueue([queue = queue_.get(), done = std::move(done)] {
    Status failure;
    {
      const std::lock_guard lock(queue->mutex);
      failure = std::exchange(queue->failure, Status::ok());
    }
    done(std::move(failure));
  });
}

bool TaskQueue::on_own_thread() const {
  const std::lock_guard lock(queue_->mutex);
  return queue_->runner == std::this_thread::get_id();
}

Status TaskQueue::run_in_order(const std::function<Status()>& op) {
  if (on_own_thread()) return guarded(op);
  return guarded([&] {
    const auto finished = std::make_shared<std::promise<Status>>();
    std::future<Status> status = finished->get_future();
    enqueue([finished, &op] { finished->set_value(guarded(op)); });
    return status.get();
  });
}

}  // namespace padless
