#include "lib/engine/cuda/stream.h"

#include <cstring>
#include <utility>

#include "lib/core/guard.h"

namespace padless::cuda {
namespace {

thread_local CudaQueue* current_queue = nullptr;

/** Marks the thread as a stream's for the duration of a task. */
class Running {
 public:
  explicit Running(CudaQueue* queue) : outer_(std::exchange(current_queue, queue)) {}
  ~Running() { current_queue = outer_; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  CudaQueue* const outer_;
};

}  // namespace

CudaQueue::~CudaQueue() {
  // Blocks and side streams must not go while the device works with them; a lost device has none.
  if (!wait().is_ok()) static_cast<void>(side_streams_.release());
}

void CudaQueue::record_into(std::shared_ptr<RecordedMemory> memory) {
  memory ? context_.arena->hold(stream_) : context_.arena->release(stream_);
  recorded_ = std::move(memory);
}

Status CudaQueue::check_not_recording() const {
  PADLESS_CHECK(!recorded_, Code::kUnsupported, "stream",
                "what is recorded cannot wait, nor copy from or to the host");
  return Status::ok();
}

Status CudaQueue::upload(void* device, const void* host, size_t bytes) {
  if (bytes == 0) return Status::ok();
  Result<PinnedBlock> block = context_.pinned->take(bytes);
  if (!block.is_ok()) return block.status();
  std::memcpy(block.value().data(), host, bytes);
  return upload(device, block.take(), bytes);
}

Status CudaQueue::upload(void* device, PinnedBlock host, size_t bytes) {
  if (bytes == 0) return Status::ok();
  PADLESS_RETURN_IF_ERROR(check_not_recording());
  while (!uploads_.empty() && cudaEventQuery(uploads_.front().done.get()) == cudaSuccess)
    uploads_.pop_front();
  touch(device);
  PADLESS_RETURN_IF_ERROR(context_.device->check(
      cudaMemcpyAsync(device, host.data(), bytes, cudaMemcpyHostToDevice, stream_.get())));
  Result<SharedEvent> done = record_event(context_.device, stream_);
  if (!done.is_ok()) {
    static_cast<void>(cudaStreamSynchronize(stream_.get()));  // nothing else tells when the block is free
    return done.status();
  }
  uploads_.push_back({done.take(), std::move(host)});
  return Status::ok();
}

Status CudaQueue::download(void* host, const void* device, size_t bytes) {
  if (bytes == 0) return Status::ok();
  PADLESS_RETURN_IF_ERROR(check_not_recording());
  Result<PinnedBlock> block = context_.pinned->take(bytes);
  if (!block.is_ok()) return block.status();
  touch(device);
  PADLESS_RETURN_IF_ERROR(context_.device->check(
      cudaMemcpyAsync(block.value().data(), device, bytes, cudaMemcpyDeviceToHost, stream_.get())));
  downloads_.push_back({block.take(), host, bytes});
  return Status::ok();
}

void CudaQueue::deliver(const std::vector<Download>& downloads) {
  for (const Download& each : downloads) std::memcpy(each.target, each.source.data(), each.bytes);
}

Status CudaQueue::wait() {
  PADLESS_RETURN_IF_ERROR(check_not_recording());
  const std::vector<Download> downloads = std::exchange(downloads_, {});  // dropped after a failure
  PADLESS_RETURN_IF_ERROR(context_.device->enter());
  PADLESS_RETURN_IF_ERROR(context_.device->check(cudaStreamSynchronize(stream_.get())));
  uploads_.clear();
  deliver(downloads);
  return Status::ok();
}

void CudaQueue::on_complete(std::function<void(Status)> done) {
  Result<SharedEvent> end = record_event(context_.device, stream_);
  if (!end.is_ok()) {
    Status status = wait();  // the device may still write what is to be delivered
    return completions_.enqueue([status = std::move(status), done = std::move(done)] { done(status); });
  }
  auto downloads = std::make_shared<std::vector<Download>>(std::exchange(downloads_, {}));
  completions_.enqueue([device = context_.device, end = std::move(end), downloads, done = std::move(done)] {
    Status status = device->enter();
    if (status.is_ok()) status = device->check(cudaEventSynchronize(end.value().get()));
    if (status.is_ok()) deliver(*downloads);
    done(std::move(status));
  });
}

Result<AttentionStreams*> CudaQueue::side_streams(int streams) {
  if (streams <= 1) return nullptr;
  if (!side_streams_ || side_streams_->count() < streams) {
    PADLESS_RETURN_IF_ERROR(wait());  // what the old ones hold
    Result<AttentionStreams> created = AttentionStreams::create(streams);
    PADLESS_RETURN_IF_ERROR(context_.device->check(created.status()));
    side_streams_ = std::make_unique<AttentionStreams>(created.take());
  }
  return side_streams_.get();
}

Result<std::shared_ptr<Stream>> CudaStream::create(const CudaContext& context, bool overlaps) {
  Result<SharedStream> stream = create_stream(context.device);
  if (!stream.is_ok()) return stream.status();
  return std::shared_ptr<Stream>(
      std::make_shared<CudaStream>(std::make_shared<CudaQueue>(context, stream.take(), overlaps)));
}

void CudaStream::enqueue(std::function<void()> task) {
  tasks_.enqueue([queue = queue_, task = std::move(task)] {
    const Running running(queue.get());
    task();
  });
}

void CudaStream::on_complete(std::function<void(Status)> done) {
  tasks_.on_complete([queue = queue_, done = std::move(done)](Status status) {
    const Running running(queue.get());
    if (status.is_ok()) {
      status = guarded([&] {
        queue->on_complete(done);
        return Status::ok();
      });
    }
    if (!status.is_ok()) done(std::move(status));
  });
}

Status CudaStream::run_in_order(const std::function<Status(CudaQueue&)>& op) {
  return tasks_.run_in_order([&]() -> Status {
    const Running running(queue_.get());
    PADLESS_RETURN_IF_ERROR(queue_->context().device->enter());
    return queue_->context().device->check(op(*queue_));
  });
}

CudaQueue* CudaStream::current() { return current_queue; }

Result<CudaStream*> as_cuda_stream(const CudaDevice& device, Stream& stream) {
  auto* cuda = dynamic_cast<CudaStream*>(&stream);
  PADLESS_CHECK(cuda != nullptr && cuda->queue()->context().device.get() == &device, Code::kInvalidArgument,
                "stream", "the stream belongs to another device than ", device.name());
  return cuda;
}

}  // namespace padless::cuda
