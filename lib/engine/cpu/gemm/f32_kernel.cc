// fp32 products: one fused multiply-add a step.
#include "lib/engine/cpu/gemm/panel.h"

namespace padless::PADLESS_ISA {
namespace {

struct F32Dot {
  using Scalar = float;
  using Sums = simd::Vec;
  using Weights = simd::Vec;
  using Input = simd::Vec;
  static constexpr int kVectorBytes = sizeof(simd::Vec);
  static Sums zero() { return simd::zero(); }
  static Sums load(const float* p) { return simd::load(p); }
  static void store(float* p, Sums sums) { simd::store(p, sums); }
  static Weights weights(const char* p) { return simd::load(reinterpret_cast<const float*>(p)); }
  static Input input(const char* p) { return simd::broadcast(*reinterpret_cast<const float*>(p)); }
  static Sums add(Sums sums, Input input, Weights weights) { return simd::fma(input, weights, sums); }
  static simd::Vec value(const PanelTask&, int64_t, const float* row_sums, int vector) {
    return simd::load(row_sums + vector * simd::Vec::kLanes);
  }
};

// As many sums as leave registers for the weights of a step and one input.
#if defined(PADLESS_ISA_AVX512)
constexpr int kTileRows = 8;
constexpr int kVectors = 3;
#else
constexpr int kTileRows = 6;
constexpr int kVectors = 2;
#endif

}  // namespace

extern const GemmKernel f32_kernel;
const GemmKernel f32_kernel = {
    .name = "f32",
    .operand = OperandFormat::kF32,
    .panel = PanelFormat::kF32,
    .lanes = simd::Vec::kLanes,
    .vectors = kVectors,
    .glu_vectors = 2,
    .group = 1,
    .tile_rows = kTileRows,
    .multiply = multiply_panel<F32Dot, kTileRows, kVectors>,
    .convert_rows = nullptr,
};

}  // namespace padless::PADLESS_ISA
