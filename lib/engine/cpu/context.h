// What every CPU op needs to know about the machine and the caller's wishes.
#pragma once

#include "lib/engine/cpu/isa.h"

namespace padless {

struct CpuContext {
  CpuIsa isa;         // chooses kernels; may be less than the processor has
  CacheSizes caches;  // chooses block sizes; results do not depend on it
  int threads = 1;    // the most that one op uses; an op's results do not depend on it
  bool batch_invariant =
      false;  // no kernel is chosen by the number of rows: a row has the same bits in any batch
};

}  // namespace padless
