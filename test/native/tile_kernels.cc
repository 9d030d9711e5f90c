// The AMX kernels on tiles in plain C++. Compiled for AVX-512, like amx_kernel.cc.
#include "lib/engine/cpu/gemm/split_panel.h"
#include "test/native/software_tiles.h"

namespace padless::avx512 {

extern const GemmKernel f32_software_tile_kernel;
extern const GemmKernel bf16_software_tile_kernel;
extern const GemmKernel i8_software_tile_kernel;
const GemmKernel f32_software_tile_kernel = f32_tile_kernel<SoftwareTiles>();
const GemmKernel bf16_software_tile_kernel = bf16_tile_kernel<SoftwareTiles>();
const GemmKernel i8_software_tile_kernel = i8_tile_kernel<SoftwareTiles>();

}  // namespace padless::avx512
