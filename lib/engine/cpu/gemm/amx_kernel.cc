// Products on AMX tiles. test/native/tile_test.cc runs the same kernels on tiles in plain C++,
// on processors without AMX too.
#include "lib/engine/cpu/gemm/split_panel.h"
#include "lib/engine/cpu/simd/amx_tiles.h"

namespace padless::avx512 {

extern const GemmKernel f32_amx_kernel;
extern const GemmKernel bf16_amx_kernel;
extern const GemmKernel i8_amx_kernel;
const GemmKernel f32_amx_kernel = f32_tile_kernel<AmxTiles>();
const GemmKernel bf16_amx_kernel = bf16_tile_kernel<AmxTiles>();
const GemmKernel i8_amx_kernel = i8_tile_kernel<AmxTiles>();

}  // namespace padless::avx512
