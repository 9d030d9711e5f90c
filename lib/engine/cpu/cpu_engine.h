// The engine that runs on this machine's processors.
#pragma once

#include <memory>
#include <string>

#include "lib/engine/engine.h"

namespace padless {

struct CpuEngineOptions {
  int threads = 0;               // the most threads one op uses; 0: every CPU this process may use
  std::string isa = "auto";      // "auto", "avx512", "avx2" or "portable"; lower than the chip's for tests
  bool batch_invariant = false;  // a row has the same bits in every batch
};

/** E_INVALID_ARGUMENT for a negative count or an unknown name, E_UNSUPPORTED for an isa this machine lacks.
 */
Result<std::shared_ptr<Engine>> create_cpu_engine(const CpuEngineOptions& options);

}  // namespace padless
