// The emulator's layout of an mbarrier object. Internal to the emulator.
#pragma once

#include <cstdint>

#include "cuda/emulator/instructions.h"

namespace padless::cuda::emulator {

struct Mbarrier {
  uint64_t magic : 8, phase : 1, expected : 13, pending : 13;
  int64_t transaction_bytes : 24;
};
static_assert(sizeof(Mbarrier) == 8);

constexpr const char* kMbarrierWait = "mbarrier.try_wait";

// ThreadSanitizer tokens of a phase: what threads did before they arrived; what the TMA engine did.
const char* thread_token(const Mbarrier* barrier, unsigned parity);
const char* async_token(const Mbarrier* barrier, unsigned parity);

Mbarrier* check_mbarrier(uint32_t address, const char* what, CallSite where);
void complete_transaction(Mbarrier* barrier, unsigned bytes);

}  // namespace padless::cuda::emulator
