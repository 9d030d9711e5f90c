// bf16 weights where there is no bf16 product: widened to fp32 on the way into registers, exactly, against
// fp32 rows. Half the weight traffic of fp32, at its arithmetic speed.
#include "lib/engine/cpu/gemm/panel.h"

namespace padless::PADLESS_ISA {
namespace {

struct BF16WidenDot {
  using Scalar = float;
  using Sums = simd::Vec;
  using Weights = simd::Vec;
  using Input = simd::Vec;
  static constexpr int kVectorBytes = 2 * simd::Vec::kLanes;
  static Sums zero() { return simd::zero(); }
  static Sums load(const float* p) { return simd::load(p); }
  static void store(float* p, Sums sums) { simd::store(p, sums); }
  static Weights weights(const char* p) { return simd::load_bf16(reinterpret_cast<const uint16_t*>(p)); }
  static Input input(const char* p) { return simd::broadcast(*reinterpret_cast<const float*>(p)); }
  static Sums add(Sums sums, Input input, Weights weights) { return simd::fma(input, weights, sums); }
  static simd::Vec value(const PanelTask&, int64_t, const float* row_sums, int vector) {
    return simd::load(row_sums + vector * simd::Vec::kLanes);
  }
};

#if defined(PADLESS_ISA_AVX512)
constexpr int kTileRows = 8;
constexpr int kVectors = 3;
#else
constexpr int kTileRows = 6;
constexpr int kVectors = 2;
#endif

}  // namespace

extern const GemmKernel bf16_widen_kernel;
const GemmKernel bf16_widen_kernel = {
    .name = "bf16 widened",
    .operand = OperandFormat::kF32,
    .panel = PanelFormat::kBF16,
    .lanes = simd::Vec::kLanes,
    .vectors = kVectors,
    .glu_vectors = 2,
    .group = 1,
    .tile_rows = kTileRows,
    .multiply = multiply_panel<BF16WidenDot, kTileRows, kVectors>,
    .convert_rows = nullptr,
};

}  // namespace padless::PADLESS_ISA
