// The matrix kernel for an instruction set and a compute type.
#pragma once

#include "lib/engine/cpu/gemm/kernel.h"
#include "lib/engine/cpu/isa.h"
#include "lib/engine/weights.h"

namespace padless {

/** Null where no kernel computes in `compute` (kF16). Kernels live as long as the program. */
const GemmKernel* select_gemm_kernel(const CpuIsa& isa, ComputeType compute);

}  // namespace padless
