// The matrix kernel for an instruction set and a compute type.
#pragma once

#include "lib/engine/cpu/gemm/kernel.h"
#include "lib/engine/cpu/isa.h"
#include "lib/engine/weights.h"

namespace padless {

/** Null where no kernel computes in `compute` (kF16). Kernels live as long as the program. */
const GemmKernel* select_gemm_kernel(const CpuIsa& isa, ComputeType compute);

/** The kernel that multiplies `packed`'s panels by many rows faster, with other roundings; null for most. */
const GemmKernel* select_many_rows_kernel(const CpuIsa& isa, const GemmKernel& packed);

}  // namespace padless
