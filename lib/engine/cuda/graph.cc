#include "lib/engine/cuda/graph.h"

#include <utility>

namespace padless::cuda {
namespace {

/** Ends the capture whatever happens, with what was captured. */
Result<cudaGraph_t> captured(CudaQueue& queue, const std::function<Status()>& body) {
  CudaDevice& device = *queue.context().device;
  // Relaxed: temporaries may need new memory, and other threads go on using the device.
  PADLESS_RETURN_IF_ERROR(device.check(cudaStreamBeginCapture(queue.get(), cudaStreamCaptureModeRelaxed)));
  const Status status = body();
  cudaGraph_t graph = nullptr;
  const Status ended = device.check(cudaStreamEndCapture(queue.get(), &graph));
  if (status.is_ok() && ended.is_ok()) return graph;
  if (graph != nullptr) static_cast<void>(cudaGraphDestroy(graph));
  return status.is_ok() ? ended : status;
}

}  // namespace

Result<std::unique_ptr<Recording>> CudaGraph::capture(CudaQueue& queue, const std::function<Status()>& body) {
  const std::shared_ptr<CudaDevice>& device = queue.context().device;
  auto memory = std::make_shared<RecordedMemory>(queue.context().arena, queue.shared());
  queue.record_into(memory);
  const Result<cudaGraph_t> graph = captured(queue, body);
  queue.record_into(nullptr);
  if (!graph.is_ok()) return graph.status();
  cudaGraphExec_t executable = nullptr;
  const Status status = device->check(cudaGraphInstantiate(&executable, graph.value(), 0));
  static_cast<void>(cudaGraphDestroy(graph.value()));
  if (!status.is_ok()) return status;
  // CUDA lets a graph that is at work finish before it goes.
  Executable owner(executable, [device](cudaGraphExec_t handle) {
    if (device->enter().is_ok()) static_cast<void>(cudaGraphExecDestroy(handle));
  });
  return std::unique_ptr<Recording>(new CudaGraph(queue.shared(), std::move(memory), std::move(owner)));
}

Status CudaGraph::launch(CudaQueue& queue) const {
  PADLESS_CHECK(queue.shared() == stream_, Code::kInvalidArgument, "recording",
                "the recording was made on another stream");
  return queue.context().device->check(cudaGraphLaunch(executable_.get(), queue.get()));
}

}  // namespace padless::cuda
