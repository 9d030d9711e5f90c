// Tensor copies that the TMA engine has accepted. Internal to the emulator.
#pragma once

#include <cstdint>

#include "cuda/emulator/instructions.h"
#include "cuda/emulator/tensor_map.h"

namespace padless::cuda::emulator {

struct Block;
struct Cluster;
struct Fiber;

constexpr uint8_t kTensorMapMagic = 0x7A;

struct TmaOperation {
  bool in_use = false, store = false;
  TensorMap map;
  int coordinates[kMaxTensorRank];
  Block* block;        // that issued it
  uint32_t shared;     // offset in the window of each block that takes part
  uint32_t mbarrier;   // loads: offset of the barrier in the same blocks
  uint16_t multicast;  // loads: ranks that receive; 0: the issuing block
  Fiber* issuer;
  unsigned groups_committed;  // stores: commits since it was issued; 0: not in a group yet
  uint64_t due;               // tick at which a delayed operation runs by itself
  void* token;                // ThreadSanitizer: what the issuer did before
  void* pc;
};

// tma.cc
void reset_tma();
void run_due_tma();
// Runs one at random; false when none is in flight.
bool run_any_tma();
// What a cluster that has exited left in flight, or nullptr; the operations are dropped.
const char* drop_tma_of(const Cluster* cluster);

}  // namespace padless::cuda::emulator
