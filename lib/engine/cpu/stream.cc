#include "lib/engine/cpu/stream.h"

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace padless {
namespace {

using Clock = std::chrono::steady_clock;

/** One recording of an event. Shared: the event may move on or die before the stream gets there. */
class Mark {
 public:
  explicit Mark(const CpuStream* stream) : stream_(stream) {}
  /** The stream that reaches the mark; only to compare with, it may be gone. */
  const CpuStream* stream() const { return stream_; }

  void complete() {
    {
      const std::lock_guard lock(mutex_);
      time_ = Clock::now();
      done_ = true;
    }
    reached_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    reached_.wait(lock, [this] { return done_; });
  }
  bool is_complete() const {
    const std::lock_guard lock(mutex_);
    return done_;
  }
  Clock::time_point time() const {
    const std::lock_guard lock(mutex_);
    return time_;
  }

 private:
  const CpuStream* const stream_;
  mutable std::mutex mutex_;
  std::condition_variable reached_;
  bool done_ = false;
  Clock::time_point time_;
};

class CpuEvent : public Event {
 public:
  Status record(Stream& stream) override {
    Result<CpuStream*> cpu = as_cpu_stream(stream);
    if (!cpu.is_ok()) return cpu.status();
    auto mark = std::make_shared<Mark>(cpu.value());
    // A task's own ops have finished: the point it records is now, not behind the tasks that wait.
    if (cpu.value()->on_own_thread()) {
      mark->complete();
    } else {
      cpu.value()->enqueue([mark] { mark->complete(); });
    }
    const std::lock_guard lock(mutex_);
    mark_ = std::move(mark);
    return Status::ok();
  }

  Status wait(Stream& stream) override {
    Result<CpuStream*> cpu = as_cpu_stream(stream);
    if (!cpu.is_ok()) return cpu.status();
    const std::shared_ptr<Mark> mark = last();
    // A mark of the stream itself is reached before later tasks anyway, and a task must not wait for it.
    if (!mark || mark->stream() == cpu.value() || mark->is_complete()) return Status::ok();
    if (cpu.value()->on_own_thread()) {
      mark->wait();
    } else {
      cpu.value()->enqueue([mark] { mark->wait(); });
    }
    return Status::ok();
  }

  bool is_complete() const override {
    const std::shared_ptr<Mark> mark = last();
    return !mark || mark->is_complete();
  }

  Result<double> milliseconds_since(const Event& start) const override {
    const auto* from = dynamic_cast<const CpuEvent*>(&start);
    PADLESS_CHECK(from != nullptr, Code::kInvalidArgument, "start", "the start event is of another device");
    const std::shared_ptr<Mark> first = from->last();
    const std::shared_ptr<Mark> second = last();
    PADLESS_CHECK(first && first->is_complete(), Code::kInvalidArgument, "start",
                  "the start event was not recorded, or its stream has not reached it");
    PADLESS_CHECK(second && second->is_complete(), Code::kInvalidArgument, "event",
                  "the event was not recorded, or its stream has not reached it");
    return std::chrono::duration<double, std::milli>(second->time() - first->time()).count();
  }

 private:
  std::shared_ptr<Mark> last() const {
    const std::lock_guard lock(mutex_);
    return mark_;
  }

  mutable std::mutex mutex_;
  std::shared_ptr<Mark> mark_;
};

}  // namespace

Result<CpuStream*> as_cpu_stream(Stream& stream) {
  auto* cpu = dynamic_cast<CpuStream*>(&stream);
  PADLESS_CHECK(cpu != nullptr, Code::kInvalidArgument, "stream", "the stream belongs to another device");
  return cpu;
}

Result<std::unique_ptr<Event>> create_cpu_event() {
  return std::unique_ptr<Event>(std::make_unique<CpuEvent>());
}

}  // namespace padless
