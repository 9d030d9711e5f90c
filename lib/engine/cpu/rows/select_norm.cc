#include "lib/engine/cpu/rows/norm_kernel.h"

namespace padless {

namespace portable {
extern const NormKernels norm_kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const NormKernels norm_kernels;
}
namespace avx512 {
extern const NormKernels norm_kernels;
}
#elif defined(__aarch64__)
namespace neon {
extern const NormKernels norm_kernels;
}
#endif

const NormKernels& select_norm_kernels(const CpuIsa& isa) {
#if defined(__x86_64__)
  if (isa.level >= IsaLevel::kAvx512) return avx512::norm_kernels;
  if (isa.level >= IsaLevel::kAvx2) return avx2::norm_kernels;
#elif defined(__aarch64__)
  if (isa.level == IsaLevel::kNeon) return neon::norm_kernels;
#endif
  (void)isa;
  return portable::norm_kernels;
}

}  // namespace padless
