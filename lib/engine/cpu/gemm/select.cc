#include "lib/engine/cpu/gemm/select.h"

namespace padless {

namespace portable {
extern const GemmKernel f32_kernel;
}
#if defined(__x86_64__)
namespace avx2 {
extern const GemmKernel f32_kernel;
}
namespace avx512 {
extern const GemmKernel f32_kernel;
}
#endif

namespace {

const GemmKernel* select_f32(const CpuIsa& isa) {
#if defined(__x86_64__)
  if (isa.level >= IsaLevel::kAvx512) return &avx512::f32_kernel;
  if (isa.level >= IsaLevel::kAvx2) return &avx2::f32_kernel;
#endif
  (void)isa;
  return &portable::f32_kernel;
}

}  // namespace

const GemmKernel* select_gemm_kernel(const CpuIsa& isa, ComputeType compute) {
  switch (compute) {
    case ComputeType::kF32: return select_f32(isa);
    case ComputeType::kBF16:
    case ComputeType::kI8:
    case ComputeType::kF16: return nullptr;
  }
  return nullptr;
}

}  // namespace padless
