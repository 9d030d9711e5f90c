// fp32 products.
#include "lib/engine/cpu/gemm/fma_dot.h"

namespace padless::PADLESS_ISA {
namespace {

struct F32Storage {
  static constexpr int kVectorBytes = sizeof(simd::Vec);
  static simd::Vec load(const char* p) { return simd::load(reinterpret_cast<const float*>(p)); }
};

}  // namespace

extern const GemmKernel f32_kernel;
const GemmKernel f32_kernel = fma_kernel<F32Storage>("f32", PanelFormat::kF32);

}  // namespace padless::PADLESS_ISA
