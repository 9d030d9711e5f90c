// Streams and events of the CPU: a stream is a queue with a thread of its own, started with its first task.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "lib/engine/stream.h"

namespace padless {

class CpuStream : public Stream {
 public:
  CpuStream();
  /** Finishes what is queued. The last reference may be dropped by a task of the stream itself. */
  ~CpuStream() override;

  void enqueue(std::function<void()> task) override;
  void on_complete(std::function<void(Status)> done) override;

  /** Whether the caller is a task of this stream. */
  bool on_own_thread() const;

  /** Runs `op` in the stream's order and returns its status: at once on the stream's thread, else by waiting.
   */
  Status run_in_order(const std::function<Status()>& op);

 private:
  struct Queue;
  std::shared_ptr<Queue> queue_;
  std::thread thread_;
};

/** `stream` as a CPU stream; E_INVALID_ARGUMENT if it belongs to another kind of device. */
Result<CpuStream*> as_cpu_stream(Stream& stream);

Result<std::unique_ptr<Event>> create_cpu_event();

}  // namespace padless
