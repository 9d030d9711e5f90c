// Events: each recording is a CUDA event of its own, which the stream's thread records in its turn.
#include <condition_variable>
#include <mutex>
#include <utility>

#include "lib/engine/cuda/stream.h"

namespace padless::cuda {
namespace {

/** One recording. Shared: the event may move on or die before the stream gets there. */
class Recording {
 public:
  Recording(std::shared_ptr<CudaDevice> device, const CudaStream* stream, SharedEvent event)
      : device_(std::move(device)), stream_(stream), event_(std::move(event)) {}
  /** The stream that records it; only to compare with, it may be gone. */
  const CudaStream* stream() const { return stream_; }
  cudaEvent_t event() const { return event_.get(); }

  /** On the stream's thread. After a failure the event counts as reached: nobody must wait for it. */
  void record(CudaQueue& queue) {
    Status status = device_->enter();
    if (status.is_ok()) status = device_->check(cudaEventRecord(event_.get(), queue.get()));
    {
      const std::lock_guard lock(mutex_);
      state_ = status.is_ok() ? State::kRecorded : State::kFailed;
    }
    changed_.notify_all();
  }

  /** On the waiting stream's thread: orders its later work behind the recording. */
  void hold(CudaQueue& queue) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return state_ != State::kQueued; });
      if (state_ == State::kFailed) return;
    }
    if (!device_->enter().is_ok()) return;  // the device is lost: its later work fails by itself
    static_cast<void>(device_->check(cudaStreamWaitEvent(queue.get(), event_.get(), 0)));
    queue.joined();
  }

  bool is_complete() const {
    {
      const std::lock_guard lock(mutex_);
      if (state_ != State::kRecorded) return state_ == State::kFailed;
    }
    // A lost device does nothing more; its handles may be gone.
    return !device_->enter().is_ok() || cudaEventQuery(event_.get()) != cudaErrorNotReady;
  }

  bool is_timed() const {
    const std::lock_guard lock(mutex_);
    return state_ == State::kRecorded;
  }

 private:
  enum class State { kQueued, kRecorded, kFailed };
  const std::shared_ptr<CudaDevice> device_;
  const CudaStream* const stream_;
  const SharedEvent event_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::kQueued;
};

class CudaEvent final : public Event {
 public:
  explicit CudaEvent(std::shared_ptr<CudaDevice> device) : device_(std::move(device)) {}

  Status record(Stream& stream) override {
    Result<CudaStream*> cuda = as_cuda_stream(*device_, stream);
    if (!cuda.is_ok()) return cuda.status();
    Result<SharedEvent> event = create_event(device_, true);
    if (!event.is_ok()) return event.status();
    auto recording = std::make_shared<Recording>(device_, cuda.value(), event.take());
    {
      const std::lock_guard lock(mutex_);
      last_ = recording;
    }
    // A task records the end of what it has enqueued itself, not of the tasks that wait.
    in_turn(*cuda.value(), [recording](CudaQueue& queue) { recording->record(queue); });
    return Status::ok();
  }

  Status wait(Stream& stream) override {
    Result<CudaStream*> cuda = as_cuda_stream(*device_, stream);
    if (!cuda.is_ok()) return cuda.status();
    const std::shared_ptr<Recording> recording = last();
    // Work of one stream is in order anyway, and a task must not wait for one behind it.
    if (!recording || recording->stream() == cuda.value()) return Status::ok();
    in_turn(*cuda.value(), [recording](CudaQueue& queue) { recording->hold(queue); });
    return Status::ok();
  }

  bool is_complete() const override {
    const std::shared_ptr<Recording> recording = last();
    return !recording || recording->is_complete();
  }

  Result<double> milliseconds_since(const Event& start) const override {
    const auto* from = dynamic_cast<const CudaEvent*>(&start);
    PADLESS_CHECK(from != nullptr && from->device_ == device_, Code::kInvalidArgument, "start",
                  "the start event is of another device");
    const std::shared_ptr<Recording> first = from->last();
    const std::shared_ptr<Recording> second = last();
    PADLESS_CHECK(first && first->is_complete() && first->is_timed(), Code::kInvalidArgument, "start",
                  "the start event was not recorded, or its stream has not reached it");
    PADLESS_CHECK(second && second->is_complete() && second->is_timed(), Code::kInvalidArgument, "event",
                  "the event was not recorded, or its stream has not reached it");
    PADLESS_RETURN_IF_ERROR(device_->enter());
    float milliseconds = 0;
    PADLESS_RETURN_IF_ERROR(
        device_->check(cudaEventElapsedTime(&milliseconds, first->event(), second->event())));
    return double{milliseconds};
  }

 private:
  static void in_turn(CudaStream& stream, std::function<void(CudaQueue&)> step) {
    if (stream.on_own_thread()) return step(*stream.queue());
    stream.enqueue([queue = stream.queue(), step = std::move(step)] { step(*queue); });
  }

  std::shared_ptr<Recording> last() const {
    const std::lock_guard lock(mutex_);
    return last_;
  }

  const std::shared_ptr<CudaDevice> device_;
  mutable std::mutex mutex_;  // guards last_
  std::shared_ptr<Recording> last_;
};

}  // namespace

Result<std::unique_ptr<Event>> create_cuda_event(const std::shared_ptr<CudaDevice>& device) {
  return std::unique_ptr<Event>(std::make_unique<CudaEvent>(device));
}

}  // namespace padless::cuda
