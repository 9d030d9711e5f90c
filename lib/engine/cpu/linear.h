// Linear weights in the layout of the CPU's matrix kernels.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "lib/core/status.h"
#include "lib/engine/cpu/context.h"
#include "lib/engine/cpu/gemm/kernel.h"
#include "lib/engine/cpu/weight_memory.h"
#include "lib/engine/packed_linear.h"

namespace padless {

/** How many panels a linear layer has and where each lies; fixed by its sizes and the kernel. */
class PanelLayout {
 public:
  PanelLayout() = default;
  PanelLayout(const GemmKernel& kernel, int64_t in_features, int64_t out_features, bool glu);

  int64_t panels() const { return panels_; }
  int64_t steps() const { return steps_; }
  /** Vectors of a panel; the last may hold fewer. */
  int vectors(int64_t panel) const;
  /** Columns of the result that a panel yields, and the first of them. */
  int columns(int64_t panel) const;
  int64_t first_column(int64_t panel) const { return panel * panel_columns_; }
  /** The stacked output feature behind a panel's vector and lane, or -1 for padding. */
  int64_t source_row(int64_t panel, int vector, int lane) const;
  /** Lanes before a panel: where its bias, scales and sums begin. */
  int64_t first_lane(int64_t panel) const { return panel * panel_vectors_ * lanes_; }
  int64_t lanes_total() const;
  int64_t byte_offset(int64_t panel) const { return panel * panel_vectors_ * vector_bytes_ * steps_; }
  int64_t panel_bytes(int64_t panel) const { return vectors(panel) * vector_bytes_ * steps_; }
  int64_t bytes_total() const { return lanes_total() / lanes_ * vector_bytes_ * steps_; }

 private:
  int64_t result_columns_ = 0;
  int64_t panels_ = 0;
  int64_t steps_ = 0;
  int64_t panel_columns_ = 0;  // of the result, of a full panel
  int64_t vector_bytes_ = 0;   // of one step
  int panel_vectors_ = 0;      // of a full panel
  int lanes_ = 0;
  bool glu_ = false;
};

class CpuLinearWeight final : public LinearWeight {
 public:
  int64_t in_features() const override { return in_features_; }
  int64_t out_features() const override { return out_features_; }
  size_t bytes() const override { return bytes_; }

  const GemmKernel& kernel() const { return *kernel_; }
  const PanelLayout& layout() const { return layout_; }
  bool glu() const { return glu_; }

  std::span<const char> panel_bytes(int64_t panel) const {
    return {panels_.get() + layout_.byte_offset(panel), static_cast<size_t>(layout_.panel_bytes(panel))};
  }
  /** The part of a panel that `count` steps from `first` on read. */
  std::span<const char> panel_bytes(int64_t panel, int64_t first, int64_t count) const {
    const std::span<const char> all = panel_bytes(panel);
    const size_t step = all.size() / static_cast<size_t>(layout_.steps());
    return all.subspan(static_cast<size_t>(first) * step, static_cast<size_t>(count) * step);
  }
  /** What the parts of PackedLinear mean here: panels, bias, scales, column sums. */
  PackedLinear packed() const;

  /** Sets the fields of `task` that depend on the weight and the panel alone. */
  void describe_panel(int64_t panel, PanelTask& task) const;

 private:
  friend class LinearPacker;
  const GemmKernel* kernel_ = nullptr;
  PanelLayout layout_;
  int64_t in_features_ = 0;
  int64_t out_features_ = 0;
  bool glu_ = false;
  size_t bytes_ = 0;
  WeightBlock panels_;
  WeightBlock bias_;                   // f32 [lanes], or empty
  WeightBlock scales_;                 // f32 [lanes], quantised only
  WeightBlock column_sums_;            // i32 [lanes], quantised only
  std::shared_ptr<const void> owner_;  // of borrowed buffers
};

/**
 * Packs for the kernels of `context.isa`, on `context.threads` threads. kF32: weights f32. kBF16: weights
 * rounded to bf16. kI8: quantised symmetrically, one scale an output. Biases stay f32.
 * E_INVALID_ARGUMENT for parts whose shapes disagree, E_UNSUPPORTED for kF16, for weights that are no floats
 * and for so many inputs that sums of int8 products could overflow.
 */
Result<std::shared_ptr<const LinearWeight>> pack_linear_cpu(const CpuContext& context,
                                                            const LinearSource& source);
/** A weight whose memory is that of `packed`, for the kernel of `context.isa`; null if its sizes do not fit.
 */
std::shared_ptr<const LinearWeight> adopt_linear_cpu(const CpuContext& context, const PackedLinear& packed);
/** The layouts that kernels of `context.isa` read: equal texts mean equal bytes. */
std::string packing_cpu(const CpuContext& context);
/** As pack_linear_cpu, for a kernel of the caller's choice, which must outlive the weight. */
Result<std::shared_ptr<const LinearWeight>> pack_linear_for(const GemmKernel& kernel, int threads,
                                                            const LinearSource& source);

}  // namespace padless
