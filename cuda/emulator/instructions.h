// The emulator's models of instructions: what the host halves of cuda/ptx/ and kernel_language.h call.
// All of them run on the fiber of the calling CUDA thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <string>

#include "cuda/emulator/vector_types.h"

namespace padless::cuda::emulator {

using CallSite = std::source_location;

struct ThreadContext {
  uint3 thread_index, block_index;
  dim3 block_dim, grid_dim;
  unsigned linear, warp, lane;
};
extern ThreadContext* this_thread;

// A kernel with its arguments. Made by the launching thread, then owned by the emulator alone.
class KernelBody {
 public:
  virtual ~KernelBody() = default;
  virtual void run() const = 0;  // by one CUDA thread
  // The arguments' bytes, searched for pointers into device memory.
  virtual const void* arguments() const = 0;
  virtual size_t argument_bytes() const = 0;
};

[[noreturn]] void fail(const std::string& message, CallSite where);
inline void poison_registers(void* registers, size_t bytes) { std::memset(registers, 0xFF, bytes); }

// Barriers.
void sync_threads(CallSite where);
unsigned sync_threads_count(bool predicate, CallSite where);
void named_barrier(unsigned id, unsigned threads, bool wait, CallSite where);
void sync_warp(unsigned mask, CallSite where);
void cluster_arrive(CallSite where);
void cluster_wait(CallSite where);
unsigned cluster_rank();
unsigned cluster_size();
void memory_fence();  // __threadfence: ThreadSanitizer has no fences, so it orders all fenced threads
void yield_while_polling(CallSite where);
void maybe_preempt();

// Warp collectives: every lane of `mask` deposits its input; the last to arrive runs `combine` over the
// table.
constexpr unsigned kLaneSlotBytes = 64;
using Combine = void (*)(const uint8_t* inputs, uint8_t* outputs,
                         void* context);  // both [32][kLaneSlotBytes]
struct Collective {
  const char* name;
  bool aligned;  // every lane must come from the same call site
  Combine combine = nullptr;
  void* context = nullptr;
};
// Returns the table of outputs, or of inputs when there is nothing to combine.
const uint8_t* meet(unsigned mask, const Collective& collective, const void* input, unsigned bytes,
                    CallSite where);
uint32_t ballot(unsigned mask, bool predicate, CallSite where);
enum class ShuffleMode { index, up, down, exclusive_or };
unsigned shuffle_source(unsigned mask, int operand, int width, ShuffleMode mode, CallSite where);

template <class T>
T shuffle(unsigned mask, T value, int operand, int width, ShuffleMode mode, CallSite where) {
  static_assert(sizeof(T) <= kLaneSlotBytes);
  const uint8_t* table = meet(mask, {"shfl", false}, &value, sizeof(T), where);
  T result;
  std::memcpy(&result, table + shuffle_source(mask, operand, width, mode, where) * kLaneSlotBytes, sizeof(T));
  return result;
}

// Matrix instructions of a warp.
enum class Element : uint8_t { bf16, fp16, e4m3 };
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4],
                  Element type, CallSite where);
void ldmatrix(uint32_t* registers, unsigned matrices, bool transpose, uint32_t address, CallSite where);
void stmatrix(const uint32_t* registers, unsigned matrices, bool transpose, uint32_t address, CallSite where);

// Shared memory addresses: 0x400 + offset in the block's own window, 0x01000000 * (rank + 1) more in the
// cluster's.
void* dynamic_shared_memory(size_t bytes, size_t alignment);
uint32_t shared_address(const void* pointer, CallSite where);
uint32_t map_shared_rank(uint32_t address, unsigned rank, CallSite where);
void* shared_pointer(uint32_t address, unsigned bytes, CallSite where);

// cp.async: `source_bytes` are read and the rest of the `bytes` written as zero.
void cp_async(uint32_t destination, const void* source, unsigned bytes, unsigned source_bytes,
              CallSite where);
void cp_async_commit_group();
void cp_async_wait_group(unsigned in_flight, CallSite where);

// mbarrier. An arrival adds `expected_bytes` to the phase's transaction count; count 0 only expects.
void mbarrier_init(uint32_t address, unsigned count, CallSite where);
void mbarrier_invalidate(uint32_t address, CallSite where);
void mbarrier_arrive(uint32_t address, unsigned count, unsigned expected_bytes, CallSite where);
bool mbarrier_test_wait(uint32_t address, unsigned parity, CallSite where);
bool mbarrier_try_wait(uint32_t address, unsigned parity, CallSite where);
void fence_proxy_async();

// TMA. multicast 0: to the own block.
struct TensorMap;
void tma_load(uint32_t destination, const TensorMap* map, uint32_t mbarrier, const int* coordinates,
              unsigned rank, uint16_t multicast, CallSite where);
void tma_store(const TensorMap* map, uint32_t source, const int* coordinates, unsigned rank, CallSite where);
void tma_store_commit_group();
void tma_store_wait_group(unsigned in_flight, CallSite where);

// wgmma: D[64 x n] (+)= A[64 x k] * B[k x n] of a warpgroup, k being 32 bytes of elements.
struct WgmmaCall {
  float* accumulators;  // n / 2 of this lane
  int n;
  const uint32_t* a_registers;  // 4 of this lane, or nullptr: A comes from descriptor_a
  uint64_t descriptor_a, descriptor_b;
  bool scale_d;                   // false: D is overwritten
  bool transpose_a, transpose_b;  // MN-major operands
  Element type;
};
void wgmma(const WgmmaCall& call, CallSite where);
void wgmma_fence(CallSite where);
void wgmma_commit_group(CallSite where);
void wgmma_wait_group(unsigned in_flight, CallSite where);

// Registers and dependent grids.
void set_register_limit(unsigned registers, CallSite where);
void launch_dependents();
void wait_for_previous_grid(CallSite where);

}  // namespace padless::cuda::emulator
