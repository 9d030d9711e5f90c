// bf16 weights where there is no bf16 product: widened to fp32 on the way into registers, exactly, against
// fp32 rows. Half the weight traffic of fp32, at its arithmetic speed.
#include "lib/engine/cpu/gemm/fma_dot.h"

namespace padless::PADLESS_ISA {
namespace {

struct BF16Storage {
  static constexpr int kVectorBytes = 2 * simd::Vec::kLanes;
  static simd::Vec load(const char* p) { return simd::load_bf16(reinterpret_cast<const uint16_t*>(p)); }
};

}  // namespace

extern const GemmKernel bf16_widen_kernel;
const GemmKernel bf16_widen_kernel = fma_kernel<BF16Storage>("bf16 widened", PanelFormat::kBF16);

}  // namespace padless::PADLESS_ISA
