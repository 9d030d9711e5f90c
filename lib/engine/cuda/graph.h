// Ops of a stream captured as a CUDA graph, and replayed.
#pragma once

#include <functional>
#include <memory>

#include "lib/engine/cuda/recorded_memory.h"
#include "lib/engine/cuda/stream.h"
#include "lib/engine/recording.h"

namespace padless::cuda {

class CudaGraph final : public Recording {
 public:
  /** Captures what `body` enqueues on the queue. A failure, be it the body's, leaves the stream as it was. */
  static Result<std::unique_ptr<Recording>> capture(CudaQueue& queue, const std::function<Status()>& body);

  /** E_INVALID_ARGUMENT on another queue than it was captured on: its memory is in order there only. */
  Status launch(CudaQueue& queue) const;
  size_t bytes() const override { return memory_->bytes(); }

 private:
  using Executable = std::shared_ptr<std::remove_pointer_t<cudaGraphExec_t>>;
  CudaGraph(SharedStream stream, std::shared_ptr<RecordedMemory> memory, Executable executable)
      : stream_(std::move(stream)), memory_(std::move(memory)), executable_(std::move(executable)) {}

  const SharedStream stream_;
  const std::shared_ptr<RecordedMemory> memory_;  // the temporaries of its kernels
  const Executable executable_;
};

}  // namespace padless::cuda
