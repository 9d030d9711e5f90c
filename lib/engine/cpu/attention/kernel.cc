// Attention in fp32, for every instruction set.
#include "lib/engine/cpu/attention/kernel.h"

#include "lib/engine/cpu/attention/flash.h"

namespace padless::PADLESS_ISA {

const AttentionKernels attention_kernels = {scratch_floats, run<F32Product>};

}  // namespace padless::PADLESS_ISA
