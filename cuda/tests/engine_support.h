// What tests of the CUDA engine share: opening it on the emulator, and waiting for its threads.
#pragma once

#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "cuda/emulator/emulator.h"
#include "cuda/tests/kernel_support.h"
#include "lib/engine/cuda/cuda_engine.h"

namespace padless::cuda::test {

inline std::shared_ptr<Engine> open_engine(const CudaEngineOptions& options = {}) {
  auto engine = create_cuda_engine("emulator:0", options);
  check_ok(engine.status(), "opening emulator:0");
  return engine.is_ok() ? engine.take() : nullptr;
}

inline std::shared_ptr<Stream> open_stream(Engine& engine) {
  auto stream = engine.create_stream();
  check_ok(stream.status(), "a stream");
  return stream.is_ok() ? stream.take() : nullptr;
}

inline std::unique_ptr<Buffer> allocate(Engine& engine, size_t bytes) {
  auto buffer = engine.allocate(bytes);
  check_ok(buffer.status(), "memory");
  return buffer.is_ok() ? buffer.take() : nullptr;
}

/** The status that on_complete gives for all work so far. */
inline Status completion(Stream& stream) {
  auto done = std::make_shared<std::promise<Status>>();
  stream.on_complete([done](Status status) { done->set_value(std::move(status)); });
  return done->get_future().get();
}

/** Runs `task` on the stream's thread and waits until it has returned, not for the device. */
template <class Task>
void run_on(Stream& stream, Task task) {
  std::promise<void> returned;
  stream.enqueue([&] {
    task();
    returned.set_value();
  });
  returned.get_future().get();
}

/** Nothing that the emulator objects to has happened since the last call. */
inline void check_no_fault(const std::string& what) {
  const std::string fault = emulator::take_failure();
  check(fault.empty(), what + ": " + fault);
}

}  // namespace padless::cuda::test
