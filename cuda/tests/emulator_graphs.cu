// Graphs of the host twin of the CUDA runtime: capture over forked streams, replay, and captures that fail.
#include "cuda/tests/runtime_support.h"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda::test {
namespace {

/** A capture of `main`, into which `side` is drawn with a kernel. */
void begin_forked_capture(const Stream& main, const Stream& side, const Event& forked,
                          DeviceBuffer<int>& values, cudaStreamCaptureMode mode) {
  check_cuda(cudaStreamBeginCapture(main.handle, mode), "begin");
  check_cuda(cudaEventRecord(forked.handle, main.handle), "record");
  check_cuda(cudaStreamWaitEvent(side.handle, forked.handle), "wait");
  check_ok(launch(add_one, on(side.handle), values.data(), kCount), "kernel");
}

void test_graph_replays_with_current_data() {
  Stream main, side;
  Event forked, joined;
  DeviceBuffer<int> a(std::vector<int>(kCount, 0)), b(kCount);
  check_cuda(cudaStreamBeginCapture(main.handle, cudaStreamCaptureModeThreadLocal), "begin");
  check_ok(launch(add_one, on(main.handle), a.data(), kCount), "kernel");
  check_cuda(cudaEventRecord(forked.handle, main.handle), "record");
  check_cuda(cudaStreamWaitEvent(side.handle, forked.handle), "wait");
  check_ok(launch(copy_values, on(side.handle), a.data(), b.data(), kCount), "kernel");
  check_cuda(cudaEventRecord(joined.handle, side.handle), "record");
  check_cuda(cudaStreamWaitEvent(main.handle, joined.handle), "wait");
  check_ok(launch(add_one, on(main.handle), b.data(), kCount), "kernel");
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamEndCapture(main.handle, &graph), "end");
  cudaGraphExec_t executable = nullptr;
  check_cuda(cudaGraphInstantiate(&executable, graph), "instantiate");
  check_cuda(cudaGraphDestroy(graph), "destroy");
  check(all_equal(a.download(), 0), "capture runs nothing");
  for (int round = 1; round <= 3; round++) {
    check_cuda(cudaGraphLaunch(executable, main.handle), "launch");
    check(all_equal(b.download(), round + 1), "replay " + std::to_string(round));
  }
  check_cuda(cudaGraphExecDestroy(executable), "destroy");
}

__global__ void add_in_order(int* values, int count) {
  wait_for_stream();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) values[i] += 1;
}

void test_overlapping_launch_behind_a_join() {
  Stream main, side;
  Event forked, joined;
  DeviceBuffer<int> values(std::vector<int>(kCount, 0));
  LaunchConfig config = on(main.handle);
  config.stream.overlaps = true;
  begin_forked_capture(main, side, forked, values, cudaStreamCaptureModeThreadLocal);
  check_ok(launch(add_in_order, config, values.data(), kCount), "beside the side stream's");
  check_cuda(cudaEventRecord(joined.handle, side.handle), "record");
  check_cuda(cudaStreamWaitEvent(main.handle, joined.handle), "wait");
  check(launch(add_in_order, config, values.data(), kCount).code() == Code::kDevice, "refused behind both");
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamEndCapture(main.handle, &graph), "end");
  check_cuda(cudaGraphDestroy(graph), "destroy");
}

/** A plain kernel, then three that may overlap, as a graph: how its launch ends. */
template <class Kernel>
cudaError_t run_overlapping_graph(Kernel kernel, int* values) {
  Stream stream;
  LaunchConfig config = on(stream.handle);
  check_cuda(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal), "begin");
  check_ok(launch(add_one, config, values, kCount), "kernel");
  config.stream.overlaps = true;
  for (int i = 0; i < 3; i++) check_ok(launch(kernel, config, values, kCount), "kernel");
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamEndCapture(stream.handle, &graph), "end");
  cudaGraphExec_t executable = nullptr;
  check_cuda(cudaGraphInstantiate(&executable, graph), "instantiate");
  check_cuda(cudaGraphDestroy(graph), "destroy");
  check_cuda(cudaGraphLaunch(executable, stream.handle), "launch");
  const cudaError_t ended = cudaStreamSynchronize(stream.handle);
  static_cast<void>(cudaGraphExecDestroy(executable));
  return ended;
}

void test_graph_of_overlapping_launches() {
  {
    DeviceBuffer<int> values(std::vector<int>(kCount, 0));
    check_cuda(run_overlapping_graph(add_in_order, values.data()), "kernels that wait");
    check(all_equal(values.download(), 4), "four in order");
  }
#if !defined(__SANITIZE_THREAD__)  // which reports the race itself
  int* values = nullptr;
  check_cuda(cudaMalloc(&values, kCount * sizeof(int)), "cudaMalloc");
  check(run_overlapping_graph(add_one, values) == cudaErrorLaunchFailure, "a kernel that does not wait");
  check(emulator::take_failure().find("griddepcontrol.wait") != std::string::npos, "its fault is named");
  check_cuda(cudaDeviceReset(), "reset");
#endif
}

void test_capture_errors() {
  Stream main, side;
  Event forked;
  DeviceBuffer<int> a(std::vector<int>(kCount, 0));
  cudaGraph_t graph = nullptr;
  begin_forked_capture(main, side, forked, a, cudaStreamCaptureModeGlobal);
  check(cudaStreamEndCapture(main.handle, &graph) == cudaErrorStreamCaptureUnjoined, "unjoined capture");
  check_cuda(cudaStreamBeginCapture(main.handle, cudaStreamCaptureModeGlobal), "begin");
  void* memory = nullptr;
  check(cudaMalloc(&memory, 16) == cudaErrorStreamCaptureUnsupported, "cudaMalloc while capturing");
  check(cudaStreamEndCapture(main.handle, &graph) == cudaErrorStreamCaptureInvalidated,
        "invalidated capture");
  check_cuda(cudaStreamBeginCapture(main.handle, cudaStreamCaptureModeRelaxed), "begin");
  check(cudaStreamSynchronize(main.handle) == cudaErrorStreamCaptureUnsupported,
        "synchronise while capturing");
  check(cudaStreamEndCapture(main.handle, &graph) == cudaErrorStreamCaptureInvalidated,
        "invalidated capture");
}

// A capture that fails to end has ended, with the streams that were drawn into it.
void test_capture_ends_with_an_error() {
  Stream main, side;
  Event forked;
  DeviceBuffer<int> a(std::vector<int>(kCount, 0));
  cudaGraph_t graph = nullptr;
  begin_forked_capture(main, side, forked, a, cudaStreamCaptureModeRelaxed);
  void* memory = nullptr;
  check_cuda(cudaMalloc(&memory, 16), "cudaMalloc during a relaxed capture");
  emulator::inject_failure("cudaStreamEndCapture", cudaErrorMemoryAllocation);
  check(cudaStreamEndCapture(main.handle, &graph) == cudaErrorMemoryAllocation && graph == nullptr, "end");
  check_cuda(cudaFree(memory), "free");
  for (const Stream* stream : {&main, &side}) {
    check_ok(launch(add_one, on(stream->handle), a.data(), kCount), "kernel");
    check_cuda(cudaStreamSynchronize(stream->handle), "the stream works as before");
  }
  check(all_equal(a.download(), 2), "what was captured has not run");
  check(cudaStreamWaitEvent(main.handle, forked.handle) == cudaErrorCapturedEvent,
        "nobody can wait for an event of a capture that has ended");
  emulator::take_failure();
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda::test;
  test_graph_replays_with_current_data();
  test_capture_errors();
  test_capture_ends_with_an_error();
  test_graph_of_overlapping_launches();
  test_overlapping_launch_behind_a_join();
  return report("emulator_graphs");
}
