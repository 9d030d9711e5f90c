// Streams and events of a GPU. A stream is a task queue whose tasks enqueue work on a CUDA stream, and a
// second queue that waits for the device, so that the first goes on enqueueing.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "lib/engine/cuda/arena.h"
#include "lib/engine/cuda/device.h"
#include "lib/engine/cuda/pinned.h"
#include "lib/engine/cuda/recorded_memory.h"
#include "lib/engine/stream.h"
#include "lib/engine/task_queue.h"

namespace padless::cuda {

/** What the streams of one engine share. */
struct CudaContext {
  std::shared_ptr<CudaDevice> device;
  std::shared_ptr<CudaArena> arena;
  std::shared_ptr<PinnedPool> pinned;
};

/** The device's side of a stream. Methods belong to the stream's thread. */
class CudaQueue {
 public:
  CudaQueue(CudaContext context, SharedStream stream, bool overlaps = false)
      : context_(std::move(context)), stream_(std::move(stream)), overlaps_(overlaps) {}
  ~CudaQueue();
  CudaQueue(const CudaQueue&) = delete;
  CudaQueue& operator=(const CudaQueue&) = delete;

  const CudaContext& context() const { return context_; }
  const SharedStream& shared() const { return stream_; }
  cudaStream_t get() const { return stream_.get(); }
  /** For kernels, which may overlap if the engine says so. */
  LaunchStream launches() { return {stream_.get(), overlaps_ && !std::exchange(joined_, false)}; }
  /** Another stream's work came in: the next kernel comes after that, too, and not only after the one ahead.
   */
  void joined() { joined_ = true; }

  /** Device memory whose first work is this stream's. */
  Result<std::unique_ptr<Buffer>> allocate(size_t bytes) {
    return recorded_ ? recorded_->allocate(bytes) : context_.arena->allocate(bytes, stream_);
  }
  /** What follows is captured, and its memory comes from there; null: no longer. Copies and waits fail
   * meanwhile. */
  void record_into(std::shared_ptr<RecordedMemory> memory);
  /** The memory takes part in work that is enqueued here. */
  void touch(const void* address) { context_.arena->touch(address, stream_); }

  /** Enqueues a copy of what `host` holds now. */
  Status upload(void* device, const void* host, size_t bytes);
  /** Enqueues a copy of a block that this stream keeps until it is done. */
  Status upload(void* device, PinnedBlock host, size_t bytes);
  /** Enqueues a copy; `host` is written by the next wait(), or before the next on_complete() calls back. */
  Status download(void* host, const void* device, size_t bytes);
  /** Returns when the device has done all work so far. */
  Status wait();
  /** Calls `done` from another thread when the device has done all work so far. */
  void on_complete(std::function<void(Status)> done);

  /** Side streams for attention's groups. */
  Result<AttentionStreams*> side_streams(int streams);

 private:
  struct Upload {
    SharedEvent done;
    PinnedBlock source;
  };
  struct Download {
    PinnedBlock source;
    void* target;
    size_t bytes;
  };
  static void deliver(const std::vector<Download>& downloads);
  Status check_not_recording() const;

  const CudaContext context_;
  const SharedStream stream_;
  const bool overlaps_;
  bool joined_ = false;
  std::deque<Upload> uploads_;       // whose blocks the device may still read
  std::vector<Download> downloads_;  // not yet handed to anybody's completion
  std::unique_ptr<AttentionStreams> side_streams_;
  std::shared_ptr<RecordedMemory> recorded_;
  TaskQueue completions_;  // last: its destruction waits for the device
};

class CudaStream final : public Stream {
 public:
  /** `overlaps`: its kernels may start while the one before still runs. */
  static Result<std::shared_ptr<Stream>> create(const CudaContext& context, bool overlaps);
  explicit CudaStream(std::shared_ptr<CudaQueue> queue) : queue_(std::move(queue)) {}

  void enqueue(std::function<void()> task) override;
  void on_complete(std::function<void(Status)> done) override;

  bool on_own_thread() const { return tasks_.on_own_thread(); }
  /** Runs `op` in the stream's order and returns its status. */
  Status run_in_order(const std::function<Status(CudaQueue&)>& op);
  const std::shared_ptr<CudaQueue>& queue() const { return queue_; }

  /** The device's side of the stream whose task the caller is; null: it is none. */
  static CudaQueue* current();

 private:
  const std::shared_ptr<CudaQueue> queue_;  // tasks hold it too: the last may outlive the stream
  TaskQueue tasks_;
};

/** E_INVALID_ARGUMENT if the stream belongs to another device, or to one that has been lost. */
Result<CudaStream*> as_cuda_stream(const CudaDevice& device, Stream& stream);

Result<std::unique_ptr<Event>> create_cuda_event(const std::shared_ptr<CudaDevice>& device);

}  // namespace padless::cuda
