// The attention kernels of AMX on tiles in plain C++. Compiled for AVX-512, like attention/amx_kernel.cc.
#include "lib/engine/cpu/attention/tile_flash.h"
#include "test/native/software_tiles.h"

namespace padless::avx512 {

extern const AttentionKernels attention_software_tile_kernels;
const AttentionKernels attention_software_tile_kernels = tile_attention_kernels<SoftwareTiles>();

}  // namespace padless::avx512
