// Attention on AMX tiles.
#include "lib/engine/cpu/attention/tile_flash.h"
#include "lib/engine/cpu/simd/amx_tiles.h"

namespace padless::avx512 {

const AttentionKernels attention_amx_kernels = tile_attention_kernels<AmxTiles>();

}  // namespace padless::avx512
