// Linear weights in the layout of the CPU's matrix kernels.
#pragma once

#include <cstdint>
#include <memory>

#include "lib/core/status.h"
#include "lib/engine/cpu/context.h"
#include "lib/engine/cpu/gemm/kernel.h"
#include "lib/engine/weights.h"

namespace padless {

/**
 * Panels of `kernel->panel_columns` outputs (the last may be narrower) that hold every input, zero padded;
 * one panel is what a micro-kernel multiplies at a time.
 */
class CpuLinearWeight final : public LinearWeight {
 public:
  int64_t in_features() const override;
  int64_t out_features() const override;
  size_t bytes() const override;
};

/**
 * Packs for the kernels of `context.isa`, on `context.threads` threads. kF32: weights f32. kBF16: weights
 * rounded to bf16. kI8: quantised symmetrically, one scale an output. Biases stay f32.
 * E_INVALID_ARGUMENT for parts whose shapes disagree, E_UNSUPPORTED for kF16 and for weights that are no floats.
 */
Result<std::shared_ptr<const LinearWeight>> pack_linear_cpu(const CpuContext& context, const LinearSource& source);

}  // namespace padless
