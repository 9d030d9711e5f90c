// The emulated device behind the runtime API: memory, streams, captures, errors. Internal to the emulator.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/emulator/emulator.h"
#include "cuda/emulator/runtime/runtime_api.h"
#include "cuda/emulator/state.h"

namespace padless::cuda::emulator {

enum class MemoryState { reserved, live, freed };  // reserved: allocated, but not yet in stream order

struct Allocation {
  uint8_t* base;
  size_t bytes;
  uint64_t id;
  bool pinned;  // host memory from cudaMallocHost
  MemoryState state;
};

struct Use {  // an operation's reference to an allocation
  uint64_t id;
  uintptr_t base;
};

struct Recording {  // one cudaEventRecord
  bool complete = false;
  double milliseconds = 0;
};

struct KernelWork {
  LaunchShape shape;
  std::unique_ptr<const KernelBody> body;
  bool programmatic;
};

struct Operation {
  const char* what = "";
  std::vector<Use> uses = {};
  std::function<std::string()> run = {};  // the failure, or empty; not for kernels and waits
  std::shared_ptr<const KernelWork> kernel = {};
  std::shared_ptr<const Recording> waits_for = {};  // event wait
  std::shared_ptr<char> issued = {};                // ThreadSanitizer: what the host did before
};

struct GraphNode {
  Operation operation;
  std::vector<size_t> after;  // nodes
};

struct Capture {  // of one cudaStreamBeginCapture
  cudaStream_t origin;
  cudaStreamCaptureMode mode;
  bool invalidated = false;
  std::vector<GraphNode> nodes;
};

struct Device {
  std::recursive_mutex mutex;
  std::map<uintptr_t, Allocation> allocations;  // by base; freed ones until their addresses are used again
  uint64_t next_id = 1;
  size_t bytes_in_use = 0;
  std::vector<std::unique_ptr<CUstream_st>> streams;  // the first is the default stream
  std::vector<std::shared_ptr<Capture>> captures;     // active
  uint64_t random_state = 0;
  cudaError_t sticky = cudaSuccess, last = cudaSuccess;
  std::string failure;      // for take_failure()
  std::string sticky_text;  // for cudaGetErrorString()
  struct Injection {
    std::string call;
    unsigned skip;
    cudaError_t error;
  };
  std::vector<Injection> injections;
  uint64_t resets = 0;
};
Device& device();
extern thread_local bool in_host_function;
extern thread_local bool named_device;  // by this thread's cudaSetDevice

// Every API call: takes the lock, returns a sticky or injected error first, remembers the error it ends with.
class ApiCall {
 public:
  explicit ApiCall(const char* name);
  cudaError_t early() const { return early_; }  // cudaSuccess: go on
  cudaError_t fail(cudaError_t error, const std::string& text);
  cudaError_t finish(cudaError_t error);

 private:
  std::unique_lock<std::recursive_mutex> lock_;
  const char* name_;
  cudaError_t early_;
};
// Work that was queued has failed: every call returns the error from now on.
void set_sticky(cudaError_t error, const std::string& text);

// memory.cc
Allocation* find_allocation(const void* pointer);  // that contains the byte; nullptr for freed memory
std::vector<Use> find_uses(const void* bytes, size_t count);
// Why the operation may not touch its memory now, or empty.
std::string check_uses(const Operation& operation);
// Why memory past the end of an allocation has changed, or empty.
std::string check_canaries(const std::vector<Use>& uses);
void release_all_memory();

// stream.cc
cudaStream_t resolve_stream(cudaStream_t stream);  // nullptr when the handle is not valid
cudaError_t enqueue(ApiCall& call, cudaStream_t stream, Operation operation);
bool is_used_by_queued_work(uint64_t allocation);
// Runs queued work until `done`; the sticky error afterwards.
cudaError_t run_until(cudaStream_t preferred, const std::function<bool()>& done);
std::string run_operation(const Operation& operation);
// Kernels of which each but the first may overlap with the one before.
std::string run_kernels(const std::vector<const Operation*>& operations);
bool may_overlap(const Operation& operation);
// By chance, with a random schedule.
bool runs_one_by_one();

// graph.cc
bool forbids_unsafe_calls();  // some capture is active in a mode that does
bool is_active(const std::shared_ptr<Capture>& capture);
cudaError_t capture_operation(cudaStream_t stream, Operation operation);
cudaError_t invalidate_capture(cudaStream_t stream);

}  // namespace padless::cuda::emulator

struct CUstream_st {
  bool blocking = true;  // with respect to the default stream
  bool destroyed = false;
  std::deque<padless::cuda::emulator::Operation> queue;
  std::shared_ptr<padless::cuda::emulator::Capture> capture;
  std::vector<size_t> capture_tail;  // nodes that the next captured operation comes after
  void* sanitizer_thread = nullptr;
};

struct CUevent_st {
  bool timing = true;
  uint64_t resets = padless::cuda::emulator::device().resets;  // a later one has destroyed it
  std::shared_ptr<padless::cuda::emulator::Recording> recording;
  std::shared_ptr<padless::cuda::emulator::Capture> capture;  // the last record was captured
  std::vector<size_t> capture_tail;
};

struct CUgraph_st {
  std::vector<padless::cuda::emulator::GraphNode> nodes;
};

struct CUgraphExec_st {
  std::shared_ptr<const std::vector<padless::cuda::emulator::GraphNode>> nodes;
};
