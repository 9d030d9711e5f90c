// Events: each record makes a new recording, and a wait refers to the one that was latest when it was called.
#include <chrono>
#include <utility>

#include "cuda/emulator/runtime/device_state.h"

using namespace padless::cuda::emulator;

namespace {

double now_milliseconds() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

cudaError_t refuse_destroyed(ApiCall& call) {
  return call.fail(cudaErrorInvalidResourceHandle, "a reset of the device has destroyed the event");
}

bool is_destroyed(cudaEvent_t event) { return event != nullptr && event->resets != device().resets; }

bool is_complete(const CUevent_st& event) { return event.recording == nullptr || event.recording->complete; }

}  // namespace

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  ApiCall call("cudaEventCreate");
  if (call.early() != cudaSuccess) return call.early();
  *event = new CUevent_st;
  (*event)->timing = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  ApiCall call("cudaEventDestroy");
  if (event == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  delete event;
  return call.early();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  ApiCall call("cudaEventRecord");
  if (call.early() != cudaSuccess) return call.early();
  if (is_destroyed(event)) return refuse_destroyed(call);
  stream = resolve_stream(stream);
  if (stream == nullptr || event == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) {
    event->capture = stream->capture;
    event->capture_tail = stream->capture_tail;
    return cudaSuccess;
  }
  event->capture.reset();
  event->recording = std::make_shared<Recording>();
  Operation operation{.what = "event record"};
  operation.run = [recording = event->recording] {
    recording->complete = true;
    // clock_gettime is intercepted: streams would race on the stack that they share.
    if (!sanitizer::kThread) recording->milliseconds = now_milliseconds();
    sanitizer::release(recording.get());
    return std::string();
  };
  return enqueue(call, stream, std::move(operation));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  ApiCall call("cudaStreamWaitEvent");
  if (call.early() != cudaSuccess) return call.early();
  if (is_destroyed(event)) return refuse_destroyed(call);
  stream = resolve_stream(stream);
  if (stream == nullptr || event == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  if (event->capture != nullptr) {
    if (!is_active(event->capture)) return call.finish(cudaErrorCapturedEvent);
    if (stream->capture != nullptr && stream->capture != event->capture) {
      return call.finish(cudaErrorStreamCaptureIsolation);
    }
    stream->capture = event->capture;
    stream->capture_tail.insert(stream->capture_tail.end(), event->capture_tail.begin(),
                                event->capture_tail.end());
    return cudaSuccess;
  }
  if (stream->capture != nullptr) return call.finish(cudaErrorStreamCaptureIsolation);
  if (event->recording == nullptr) return cudaSuccess;  // never recorded: nothing to wait for
  Operation operation{.what = "event wait"};
  operation.waits_for = event->recording;
  return enqueue(call, stream, std::move(operation));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ApiCall call("cudaEventSynchronize");
  if (call.early() != cudaSuccess) return call.early();
  if (is_destroyed(event)) return refuse_destroyed(call);
  if (event == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  if (event->capture != nullptr) return call.finish(cudaErrorCapturedEvent);
  const cudaError_t error = run_until(nullptr, [=] { return is_complete(*event); });
  if (event->recording != nullptr) sanitizer::acquire(event->recording.get());
  return call.finish(error);
}

// Each query lets the device take one step.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  ApiCall call("cudaEventQuery");
  if (call.early() != cudaSuccess) return call.early();
  if (is_destroyed(event)) return refuse_destroyed(call);
  if (event == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  if (event->capture != nullptr) return call.finish(cudaErrorCapturedEvent);
  bool stepped = false;
  const cudaError_t error =
      run_until(nullptr, [&] { return is_complete(*event) || std::exchange(stepped, true); });
  if (error != cudaSuccess) return call.finish(error);
  if (!is_complete(*event)) return cudaErrorNotReady;
  if (event->recording != nullptr) sanitizer::acquire(event->recording.get());
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  ApiCall call("cudaEventElapsedTime");
  if (call.early() != cudaSuccess) return call.early();
  for (const cudaEvent_t event : {start, end}) {
    if (is_destroyed(event)) return refuse_destroyed(call);
    if (event == nullptr || !event->timing || event->recording == nullptr) {
      return call.finish(cudaErrorInvalidResourceHandle);
    }
    if (!event->recording->complete) return cudaErrorNotReady;
  }
  *milliseconds = static_cast<float>(end->recording->milliseconds - start->recording->milliseconds);
  return cudaSuccess;
}
