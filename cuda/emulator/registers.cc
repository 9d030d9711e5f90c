// setmaxnreg: the register file of a block, as far as its warps have claimed it.
#include "cuda/emulator/state.h"

namespace padless::cuda::emulator {

void set_register_limit(unsigned registers, CallSite where) {
  constexpr unsigned kRegisterFile = 65536, kLeast = 24, kMost = 256;
  if (registers % 8 != 0 || registers < kLeast || registers > kMost) {
    fail("setmaxnreg: count must be a multiple of 8 in 24..256", where);
  }
  machine.current->warp->register_limit = registers;
  unsigned total = 0;
  for (const Warp* warp : machine.current->block->warps) total += warp->register_limit * kWarpSize;
  if (total > kRegisterFile) fail("setmaxnreg: the register file is over-subscribed", where);
}

}  // namespace padless::cuda::emulator
