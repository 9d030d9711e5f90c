// The step of products in fp32: one fused multiply-add, whatever the weights are stored in.
#pragma once

#include "lib/engine/cpu/gemm/panel.h"

namespace padless {
namespace {

/** `Storage` gives kVectorBytes and load(p), one vector of weights as fp32. */
template <class Storage>
struct FmaDot {
  using Scalar = float;
  using Scales = NoScales;
  using Sums = simd::Vec;
  using Weights = simd::Vec;
  using Input = simd::Vec;
  static constexpr int kVectorBytes = Storage::kVectorBytes;
  static Sums zero() { return simd::zero(); }
  static Sums load(const float* p) { return simd::load(p); }
  static void store(float* p, Sums sums) { simd::store(p, sums); }
  static Weights weights(const char* p) { return Storage::load(p); }
  static Input input(const char* p) { return simd::broadcast(*reinterpret_cast<const float*>(p)); }
  static Sums add(Sums sums, Input input, Weights weights) { return simd::fma(input, weights, sums); }
#if defined(PADLESS_ISA_NEON)
  using InputLanes = simd::Vec;
  static InputLanes input_lanes(const char* p) { return simd::load(reinterpret_cast<const float*>(p)); }
  template <int kLane>
  static Sums add_lane(Sums sums, InputLanes input, Weights weights) {
    return {vfmaq_laneq_f32(sums.v, weights.v, input.v, kLane)};
  }
#endif
  static simd::Vec value(Scales, int64_t, const float* row_sums, int vector) {
    return simd::load(row_sums + vector * simd::Vec::kLanes);
  }
};

// As many sums as leave registers for the weights of a step and one input; on NEON, one input a row.
#if defined(PADLESS_ISA_AVX512)
constexpr int kFmaTileRows = 8;
constexpr int kFmaVectors = 3;
#elif defined(PADLESS_ISA_NEON)
constexpr int kFmaTileRows = 6;
constexpr int kFmaVectors = 3;
#else
constexpr int kFmaTileRows = 6;
constexpr int kFmaVectors = 2;
#endif

template <class Storage>
constexpr GemmKernel fma_kernel(const char* name, PanelFormat panel) {
  return {
      .name = name,
      .operand = OperandFormat::kF32,
      .panel = panel,
      .lanes = simd::Vec::kLanes,
      .vectors = kFmaVectors,
      .glu_vectors = 2,
      .group = 1,
      .tile_rows = kFmaTileRows,
      .multiply = multiply_panel<FmaDot<Storage>, kFmaTileRows, kFmaVectors>,
      .convert_rows = nullptr,
  };
}

}  // namespace
}  // namespace padless
