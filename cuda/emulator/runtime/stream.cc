// Streams: ordered queues of operations, and the loop that runs them when somebody waits.
#include <algorithm>
#include <utility>

#include "cuda/emulator/kernel_language.h"
#include "cuda/emulator/runtime/device_state.h"

namespace padless::cuda::emulator {
namespace {

uint64_t random_number() {  // its own sequence: kernels reset the machine's
  Device& d = device();
  if (d.random_state == 0) d.random_state = options().seed * 0x9E3779B97F4A7C15ull | 1;
  d.random_state ^= d.random_state >> 12;
  d.random_state ^= d.random_state << 25;
  d.random_state ^= d.random_state >> 27;
  return d.random_state * 0x2545F4914F6CDD1Dull;
}

bool is_runnable(const CUstream_st& stream) {
  return !stream.queue.empty() &&
         (stream.queue.front().waits_for == nullptr || stream.queue.front().waits_for->complete);
}

// fifo: the stream that is waited for first, so that all others lag; priority: that stream last; random: any.
cudaStream_t choose_stream(cudaStream_t preferred) {
  std::vector<cudaStream_t> runnable;
  for (const auto& stream : device().streams) {
    if (is_runnable(*stream)) runnable.push_back(stream.get());
  }
  if (runnable.empty()) return nullptr;
  const bool can_prefer = std::find(runnable.begin(), runnable.end(), preferred) != runnable.end();
  switch (options().schedule) {
    case Schedule::fifo:
      return can_prefer ? preferred : runnable.front();
    case Schedule::priority:
      return runnable.back() != preferred ? runnable.back() : runnable.front();
    case Schedule::random:
      break;
  }
  return runnable[random_number() % runnable.size()];
}

// How many kernels at the queue's head run together: each but the first may overlap with the one before.
size_t overlapping_kernels(const CUstream_st& stream) {
  const bool serialise = runs_one_by_one();
  size_t count = 1;
  while (!serialise && count < stream.queue.size() && may_overlap(stream.queue[count])) count++;
  return count;
}

// Returns how many operations were run; 0 after a failure.
size_t run_head(CUstream_st& stream) {
  const size_t count = stream.queue.front().kernel != nullptr ? overlapping_kernels(stream) : 1;
  std::vector<const Operation*> operations;
  for (size_t i = 0; i < count; i++) {
    const Operation& operation = stream.queue[i];
    if (operation.issued != nullptr) sanitizer::acquire(operation.issued.get());
    const std::string misuse = check_uses(operation);
    if (!misuse.empty()) return set_sticky(cudaErrorIllegalAddress, misuse), 0;
    operations.push_back(&operation);
  }
  const Operation& first = *operations[0];
  const std::string failure = first.kernel != nullptr ? run_kernels(operations) : run_operation(first);
  if (!failure.empty()) return set_sticky(cudaErrorLaunchFailure, failure), 0;
  return count;
}

void step(CUstream_st& stream) {
  if (stream.sanitizer_thread == nullptr) stream.sanitizer_thread = sanitizer::create_thread("CUDA stream");
  sanitizer::AsThread as_stream(stream.sanitizer_thread);
  for (size_t left = run_head(stream); left != 0; left--) stream.queue.pop_front();
  sanitizer::release(&stream);
}

// What the legacy default stream and the blocking streams owe each other.
void order_after(CUstream_st& later, CUstream_st& earlier) {
  if (earlier.queue.empty()) return;
  auto recording = std::make_shared<Recording>();
  Operation record{.what = "implicit synchronisation"};
  record.run = [recording] {
    recording->complete = true;
    sanitizer::release(recording.get());
    return std::string();
  };
  earlier.queue.push_back(std::move(record));
  Operation wait{.what = "implicit synchronisation"};
  wait.waits_for = recording;
  later.queue.push_back(std::move(wait));
}

cudaError_t order_with_default_stream(CUstream_st& stream) {
  CUstream_st& legacy = *device().streams.front();
  if (&stream != &legacy) {
    if (stream.blocking) order_after(stream, legacy);
    return cudaSuccess;
  }
  for (const auto& other : device().streams) {
    if (other.get() == &legacy || !other->blocking) continue;
    if (other->capture != nullptr) return cudaErrorStreamCaptureImplicit;
    order_after(legacy, *other);
  }
  return cudaSuccess;
}

void drop_destroyed_streams() {
  std::erase_if(device().streams, [](const auto& stream) {
    const bool gone = stream->destroyed && stream->queue.empty();
    if (gone && stream->sanitizer_thread != nullptr) sanitizer::destroy_thread(stream->sanitizer_thread);
    return gone;
  });
}

}  // namespace

bool may_overlap(const Operation& operation) {
  return operation.kernel != nullptr && operation.kernel->programmatic;
}

bool runs_one_by_one() { return options().schedule == Schedule::random && random_number() % 2 == 0; }

std::string run_kernels(const std::vector<const Operation*>& operations) {
  std::vector<GridRequest> requests;
  for (const Operation* operation : operations) {
    const KernelWork& kernel = *operation->kernel;
    requests.push_back({kernel.shape, kernel.body.get(), kernel.programmatic});
  }
  std::string failure = run_grids(requests);
  for (size_t i = 0; i < operations.size() && failure.empty(); i++)
    failure = check_canaries(operations[i]->uses);
  return failure;
}

std::string run_operation(const Operation& operation) {
  if (operation.kernel != nullptr) return run_kernels({&operation});
  if (operation.waits_for != nullptr) {
    sanitizer::acquire(operation.waits_for.get());
    return "";
  }
  return operation.run();
}

cudaStream_t resolve_stream(cudaStream_t stream) {
  const auto& streams = device().streams;
  if (stream == nullptr) return streams.front().get();
  const auto found =
      std::find_if(streams.begin(), streams.end(), [&](const auto& s) { return s.get() == stream; });
  return found != streams.end() && !stream->destroyed ? stream : nullptr;
}

cudaError_t enqueue(ApiCall& call, cudaStream_t stream, Operation operation) {
  if (stream->capture != nullptr) return call.finish(capture_operation(stream, std::move(operation)));
  if (const cudaError_t error = order_with_default_stream(*stream)) return call.finish(error);
  if (sanitizer::kThread) {
    operation.issued = std::make_shared<char>();
    sanitizer::release(operation.issued.get());
  }
  stream->queue.push_back(std::move(operation));
  if (options().lazy_streams) return cudaSuccess;
  // An eager device's errors, too, come back at the next call.
  run_until(stream, [=] { return stream->queue.empty(); });
  return cudaSuccess;
}

bool is_used_by_queued_work(uint64_t allocation) {
  for (const auto& stream : device().streams) {
    for (const Operation& operation : stream->queue) {
      for (const Use& use : operation.uses) {
        if (use.id == allocation) return true;
      }
    }
  }
  return false;
}

cudaError_t run_until(cudaStream_t preferred, const std::function<bool()>& done) {
  while (device().sticky == cudaSuccess && !done()) {
    const cudaStream_t stream = choose_stream(preferred);
    if (stream == nullptr) {
      set_sticky(cudaErrorLaunchFailure, "queued work waits for an event that nothing will record");
      break;
    }
    step(*stream);
  }
  if (device().sticky != cudaSuccess) {
    for (const auto& stream : device().streams) sanitizer::acquire(stream.get());
  }
  drop_destroyed_streams();
  return device().sticky;
}

cudaError_t enqueue_kernel_body(const KernelLaunch& launch, std::unique_ptr<const KernelBody> body) {
  ApiCall call("launch");
  if (call.early() != cudaSuccess) return call.early();
  const cudaStream_t stream = resolve_stream(launch.stream);
  if (stream == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  const LaunchShape shape{launch.grid, launch.block, launch.cluster, launch.shared_bytes};
  const std::string problem = check_shape(shape);
  if (!problem.empty()) return call.fail(cudaErrorInvalidConfiguration, problem);
  constexpr int kLeastProgrammatic = 90;
  if (launch.programmatic && device_options().compute_capability < kLeastProgrammatic)
    return call.fail(cudaErrorNotSupported, "launch: this device cannot let kernels overlap");
  // What CUDA makes of it is not documented.
  if (launch.programmatic && stream->capture != nullptr && stream->capture_tail.size() > 1)
    return call.fail(cudaErrorNotSupported,
                     "launch: a kernel that depends on more than the one ahead of it must not overlap");
  Operation operation{.what = "kernel"};
  operation.uses = find_uses(body->arguments(), body->argument_bytes());
  operation.kernel = std::make_shared<const KernelWork>(
      KernelWork{shape, std::move(body), launch.programmatic || options().overlap});
  return enqueue(call, stream, std::move(operation));
}

}  // namespace padless::cuda::emulator

using namespace padless::cuda::emulator;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  ApiCall call("cudaStreamCreate");
  if (call.early() != cudaSuccess) return call.early();
  device().streams.push_back(std::make_unique<CUstream_st>());
  *stream = device().streams.back().get();
  (*stream)->blocking = (flags & cudaStreamNonBlocking) == 0;
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  ApiCall call("cudaDeviceGetStreamPriorityRange");
  *least = 0;
  *greatest = -5;
  return call.early();
}

// Queued work still runs.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  ApiCall call("cudaStreamDestroy");
  if (call.early() != cudaSuccess) return call.early();
  if (stream == nullptr || resolve_stream(stream) == nullptr)
    return call.finish(cudaErrorInvalidResourceHandle);
  stream->destroyed = true;
  stream->capture.reset();
  drop_destroyed_streams();
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ApiCall call("cudaStreamSynchronize");
  if (call.early() != cudaSuccess) return call.early();
  stream = resolve_stream(stream);
  if (stream == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) return call.finish(invalidate_capture(stream));
  const cudaError_t error = run_until(stream, [=] { return stream->queue.empty(); });
  sanitizer::acquire(stream);
  return call.finish(error);
}

// Each query lets the device take one step.
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  ApiCall call("cudaStreamQuery");
  if (call.early() != cudaSuccess) return call.early();
  stream = resolve_stream(stream);
  if (stream == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) return call.finish(invalidate_capture(stream));
  bool stepped = false;
  const cudaError_t error =
      run_until(stream, [&] { return stream->queue.empty() || std::exchange(stepped, true); });
  if (error != cudaSuccess) return call.finish(error);
  if (!stream->queue.empty()) return cudaErrorNotReady;
  sanitizer::acquire(stream);
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  ApiCall call("cudaDeviceSynchronize");
  if (call.early() != cudaSuccess) return call.early();
  if (forbids_unsafe_calls()) return call.finish(invalidate_capture(nullptr));
  const auto& streams = device().streams;
  const cudaError_t error = run_until(nullptr, [&] {
    return std::all_of(streams.begin(), streams.end(),
                       [](const auto& stream) { return stream->queue.empty(); });
  });
  for (const auto& stream : streams) sanitizer::acquire(stream.get());
  return call.finish(error);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  ApiCall call("cudaLaunchHostFunc");
  if (call.early() != cudaSuccess) return call.early();
  stream = resolve_stream(stream);
  if (stream == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  Operation operation{.what = "host function"};
  operation.run = [=] {
    in_host_function = true;
    function(argument);
    in_host_function = false;
    return std::string();
  };
  return enqueue(call, stream, std::move(operation));
}
