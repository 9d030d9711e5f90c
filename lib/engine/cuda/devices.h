// Which GPUs this machine has, and why one cannot be used.
#pragma once

#include <string>

#include "cuda/runtime.h"

namespace padless::cuda {

/** "cuda:0", or "emulator:0" where the emulator stands in for the runtime. */
std::string device_name(int index);

/** Devices that the runtime sees, usable or not; at least 1, so that there is one to give the reason for. */
int device_count();

/** Why device `index` cannot be used, in words; empty if it can. Opens nothing. */
std::string why_unusable(int index);

}  // namespace padless::cuda
