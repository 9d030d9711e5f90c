// Graphs: capture of streams into nodes with dependencies, and their replay in any order that those allow.
#include <algorithm>

#include "cuda/emulator/runtime/device_state.h"

namespace padless::cuda::emulator {
namespace {

// Streams that did not come back to the origin leave nodes that its end does not depend on.
bool is_joined(const Capture& capture, const std::vector<size_t>& tail) {
  std::vector<bool> reached(capture.nodes.size());
  std::vector<size_t> open = tail;
  while (!open.empty()) {
    const size_t node = open.back();
    open.pop_back();
    if (reached[node]) continue;
    reached[node] = true;
    open.insert(open.end(), capture.nodes[node].after.begin(), capture.nodes[node].after.end());
  }
  return std::all_of(reached.begin(), reached.end(), [](bool is_reached) { return is_reached; });
}

// A kernel node, and those that may overlap with it: each comes after the one before, and nothing else.
std::vector<size_t> chain_from(size_t node, const std::vector<GraphNode>& nodes) {
  std::vector<size_t> chain = {node};
  if (nodes[node].operation.kernel == nullptr || runs_one_by_one()) return chain;
  for (size_t next = node + 1; next < nodes.size(); next++) {
    const std::vector<size_t>& after = nodes[next].after;
    if (may_overlap(nodes[next].operation) && after.size() == 1 && after[0] == chain.back())
      chain.push_back(next);
  }
  return chain;
}

std::string run_chain(const std::vector<size_t>& chain, const std::vector<GraphNode>& nodes) {
  std::vector<const Operation*> operations;
  for (const size_t node : chain) {
    operations.push_back(&nodes[node].operation);
    std::string failure = check_uses(*operations.back());
    if (!failure.empty()) return failure;
  }
  return operations.size() > 1 ? run_kernels(operations) : run_operation(*operations[0]);
}

std::string run_nodes(const std::vector<GraphNode>& nodes) {
  std::vector<bool> done(nodes.size());
  for (size_t count = 0; count < nodes.size();) {
    std::vector<size_t> ready;
    for (size_t i = 0; i < nodes.size(); i++) {
      const bool free =
          std::all_of(nodes[i].after.begin(), nodes[i].after.end(), [&](size_t n) { return done[n]; });
      if (!done[i] && free) ready.push_back(i);
    }
    // The last first: of a fork's branches, the one that the origin did not wait for in capture order.
    const size_t node = options().schedule == Schedule::fifo ? ready.front() : ready.back();
    const std::vector<size_t> chain = chain_from(node, nodes);
    std::string failure = run_chain(chain, nodes);
    if (!failure.empty()) return failure;
    for (const size_t each : chain) done[each] = true;
    count += chain.size();
  }
  return "";
}

std::vector<Use> uses_of(const std::vector<GraphNode>& nodes) {
  std::vector<Use> uses;
  for (const GraphNode& node : nodes) {
    uses.insert(uses.end(), node.operation.uses.begin(), node.operation.uses.end());
  }
  return uses;
}

}  // namespace

bool forbids_unsafe_calls() {
  const auto& captures = device().captures;
  return std::any_of(captures.begin(), captures.end(),
                     [](const auto& capture) { return capture->mode != cudaStreamCaptureModeRelaxed; });
}

cudaError_t capture_operation(cudaStream_t stream, Operation operation) {
  Capture& capture = *stream->capture;
  if (capture.invalidated) return cudaErrorStreamCaptureInvalidated;
  capture.nodes.push_back({std::move(operation), stream->capture_tail});
  stream->capture_tail = {capture.nodes.size() - 1};
  return cudaSuccess;
}

bool is_active(const std::shared_ptr<Capture>& capture) {
  const auto& captures = device().captures;
  return std::find(captures.begin(), captures.end(), capture) != captures.end();
}

// Of the stream, or of every active capture.
cudaError_t invalidate_capture(cudaStream_t stream) {
  for (const auto& capture : device().captures) {
    if (stream == nullptr || stream->capture == capture) capture->invalidated = true;
  }
  return cudaErrorStreamCaptureUnsupported;
}

}  // namespace padless::cuda::emulator

using namespace padless::cuda::emulator;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  ApiCall call("cudaStreamBeginCapture");
  if (call.early() != cudaSuccess) return call.early();
  if (stream == nullptr) return call.finish(cudaErrorStreamCaptureUnsupported);
  if (resolve_stream(stream) == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) return call.finish(cudaErrorIllegalState);
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->mode = mode;
  stream->capture_tail.clear();
  device().captures.push_back(stream->capture);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  ApiCall call("cudaStreamEndCapture");
  *graph = nullptr;
  if (stream == nullptr || resolve_stream(stream) == nullptr)
    return call.finish(cudaErrorInvalidResourceHandle);
  const std::shared_ptr<Capture> capture = stream->capture;
  if (capture == nullptr || capture->origin != stream) return call.finish(cudaErrorIllegalState);
  const std::vector<size_t> tail = stream->capture_tail;
  for (const auto& other : device().streams) {
    if (other->capture != capture) continue;
    other->capture.reset();
    other->capture_tail.clear();
  }
  std::erase(device().captures, capture);
  if (call.early() != cudaSuccess) return call.early();  // the capture has ended nevertheless
  if (capture->invalidated) return call.finish(cudaErrorStreamCaptureInvalidated);
  if (!is_joined(*capture, tail)) return call.finish(cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{std::move(capture->nodes)};
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  ApiCall call("cudaStreamIsCapturing");
  if (call.early() != cudaSuccess) return call.early();
  stream = resolve_stream(stream);
  if (stream == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  *status = stream->capture == nullptr     ? cudaStreamCaptureStatusNone
            : stream->capture->invalidated ? cudaStreamCaptureStatusInvalidated
                                           : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  ApiCall call("cudaGraphInstantiate");
  if (call.early() != cudaSuccess) return call.early();
  if (graph == nullptr) return call.finish(cudaErrorInvalidValue);
  *executable = new CUgraphExec_st{std::make_shared<const std::vector<GraphNode>>(graph->nodes)};
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return ApiCall("cudaGraphUpload").early(); }

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  ApiCall call("cudaGraphLaunch");
  if (call.early() != cudaSuccess) return call.early();
  stream = resolve_stream(stream);
  if (stream == nullptr || executable == nullptr) return call.finish(cudaErrorInvalidResourceHandle);
  Operation operation{.what = "graph"};
  operation.uses = uses_of(*executable->nodes);
  operation.run = [nodes = executable->nodes] { return run_nodes(*nodes); };
  return enqueue(call, stream, std::move(operation));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  ApiCall call("cudaGraphExecDestroy");
  delete executable;
  return call.early();
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  ApiCall call("cudaGraphDestroy");
  delete graph;
  return call.early();
}
