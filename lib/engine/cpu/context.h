// What every CPU op needs to know about the machine and the caller's wishes.
#pragma once

#include "lib/engine/cpu/isa.h"

namespace padless {

struct CpuContext {
  CpuIsa isa;         // chooses kernels; may be less than the processor has
  CacheSizes caches;  // chooses block sizes; results do not depend on it
  int threads = 1;    // the most that one op uses; results do not depend on it
};

}  // namespace padless
