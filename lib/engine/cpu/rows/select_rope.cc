#include "lib/engine/cpu/rows/rope_kernel.h"

namespace padless {

namespace portable {
extern const RopeKernel rope_kernel;
}
#if defined(__x86_64__)
namespace avx2 {
extern const RopeKernel rope_kernel;
}
namespace avx512 {
extern const RopeKernel rope_kernel;
}
#elif defined(__aarch64__)
namespace neon {
extern const RopeKernel rope_kernel;
}
#endif

RopeKernel select_rope_kernel(const CpuIsa& isa) {
#if defined(__x86_64__)
  if (isa.level >= IsaLevel::kAvx512) return avx512::rope_kernel;
  if (isa.level >= IsaLevel::kAvx2) return avx2::rope_kernel;
#elif defined(__aarch64__)
  if (isa.level == IsaLevel::kNeon) return neon::rope_kernel;
#endif
  (void)isa;
  return portable::rope_kernel;
}

}  // namespace padless
