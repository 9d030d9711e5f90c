// bf16 and int8 products on AMX tiles. Not run on hardware so far: test/native/tile_test.cc runs these
// kernels on tiles in plain C++; only the instructions below are not covered by it.
#include "lib/engine/cpu/gemm/tile_panel.h"

namespace padless::avx512 {
namespace {

/** The instructions as assembly: the compilers' intrinsics take tile numbers only as literals. */
struct AmxTiles {
  void configure(const TileShapes& shapes) { asm volatile("ldtilecfg %0" : : "m"(shapes)); }
  void release() { asm volatile("tilerelease"); }
  template <int kTile>
  void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  template <int kTile>
  void load(const void* p, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  void store(void* p, int64_t stride) const {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(p), "r"(stride), "i"(kTile) : "memory");
  }
  template <class Product, int kSums, int kA, int kB>
  void dot() {
    if constexpr (Product::kFloat) {
      asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kA), "i"(kB));
    } else {
      asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kA), "i"(kB));
    }
  }
};

}  // namespace

extern const GemmKernel bf16_amx_kernel;
extern const GemmKernel i8_amx_kernel;
const GemmKernel bf16_amx_kernel = bf16_tile_kernel<AmxTiles>();
const GemmKernel i8_amx_kernel = i8_tile_kernel<AmxTiles>();

}  // namespace padless::avx512
