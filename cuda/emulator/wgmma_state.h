// Asynchronous warpgroup multiplications in flight. Internal to the emulator.
//
// Each warp computes its own 16 rows; nothing here synchronises the four warps. Results live in a shadow of
// the accumulator registers and reach them only when the group is waited for.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/emulator/instructions.h"

namespace padless::cuda::emulator {

struct Fiber;
struct Warp;

struct WgmmaSignature {  // what the four warps of a warpgroup must agree on
  uint64_t descriptor_a, descriptor_b;
  int n;
  uint32_t flags;
  bool operator==(const WgmmaSignature&) const = default;
};

struct AccumulatorShadow {  // 16 x n, of one accumulator array
  bool in_use = false;
  float* registers[32];
  int n = 0;
  std::vector<float> values;
};

struct WgmmaOperation {
  unsigned shadow;
  bool executed;
  const uint32_t* a_registers[32];
  WgmmaSignature signature;
  void* pc;
};

constexpr unsigned kAccumulatorShadows = 8;

struct WgmmaQueue {  // of one warp
  std::vector<WgmmaOperation> operations;
  std::vector<size_t> group_sizes;  // committed and not complete
  uint64_t committed = 0, completed = 0;
  size_t issued = 0, uncommitted = 0;
  AccumulatorShadow shadows[kAccumulatorShadows];
  Fiber* waiting_for_others = nullptr;  // this warp's, until the warpgroup's other warps have committed too
  void* tensor_core = nullptr;          // its ThreadSanitizer thread
};

// wgmma.cc
void reset_wgmma(WgmmaQueue& queue);
void acquire_as_tensor_core(Warp& warp, const void* token);

// The k of one operation: 32 bytes.
constexpr unsigned wgmma_depth(Element type) { return type == Element::e4m3 ? 32 : 16; }

// wgmma_operand.cc: 16 x depth and depth x n (k-major) tiles as floats; reads are reported to
// ThreadSanitizer.
struct WgmmaTile {
  uint64_t descriptor;
  bool mn_major;
  Element type;
  void* pc;
};
void load_wgmma_a(const WgmmaTile& tile, unsigned first_row, float* a);
void load_wgmma_b(const WgmmaTile& tile, unsigned n, float* b);
const char* check_descriptor(uint64_t descriptor);  // why it cannot be modelled, or nullptr

}  // namespace padless::cuda::emulator
