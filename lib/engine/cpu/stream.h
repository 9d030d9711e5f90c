// Streams and events of the CPU: a stream is a task queue.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "lib/engine/stream.h"
#include "lib/engine/task_queue.h"

namespace padless {

class CpuStream : public Stream {
 public:
  void enqueue(std::function<void()> task) override { queue_.enqueue(std::move(task)); }
  void on_complete(std::function<void(Status)> done) override { queue_.on_complete(std::move(done)); }

  /** Whether the caller is a task of this stream. */
  bool on_own_thread() const { return queue_.on_own_thread(); }

  /** Runs `op` in the stream's order and returns its status: at once on the stream's thread, else by waiting.
   */
  Status run_in_order(const std::function<Status()>& op) { return queue_.run_in_order(op); }

 private:
  TaskQueue queue_;
};

/** `stream` as a CPU stream; E_INVALID_ARGUMENT if it belongs to another kind of device. */
Result<CpuStream*> as_cpu_stream(Stream& stream);

Result<std::unique_ptr<Event>> create_cpu_event();

}  // namespace padless
