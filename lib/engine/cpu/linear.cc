#include "lib/engine/cpu/linear.h"

namespace padless {

PanelLayout::PanelLayout(const GemmKernel& kernel, int64_t in_features, int64_t out_features, bool glu)
    : result_columns_(out_features), lanes_(kernel.lanes), glu_(glu) {
  const int element_bytes = kernel.panel == PanelFormat::kF32    ? 4
                            : kernel.panel == PanelFormat::kBF16 ? 2
                                                                 : 1;
  panel_vectors_ = glu ? kernel.glu_vectors : kernel.vectors;
  panel_columns_ = int64_t{panel_vectors_} * lanes_ / (glu ? 2 : 1);
  panels_ = (out_features + panel_columns_ - 1) / panel_columns_;
  const int64_t unit = int64_t{kernel.group} * kernel.step_multiple;
  steps_ = (in_features + unit - 1) / unit * kernel.step_multiple;
  vector_bytes_ = int64_t{lanes_} * kernel.group * element_bytes;
}

int PanelLayout::columns(int64_t panel) const {
  const int64_t left = result_columns_ - first_column(panel);
  return static_cast<int>(left < panel_columns_ ? left : panel_columns_);
}

int PanelLayout::vectors(int64_t panel) const {
  const int needed = (columns(panel) + lanes_ - 1) / lanes_;
  return glu_ ? 2 * needed : needed;
}

int64_t PanelLayout::source_row(int64_t panel, int vector, int lane) const {
  const int half = vectors(panel) / 2;
  const bool up = glu_ && vector >= half;
  const int64_t column = first_column(panel) + (up ? vector - half : vector) * lanes_ + lane;
  if (column >= result_columns_) return -1;
  return up ? result_columns_ + column : column;
}

int64_t PanelLayout::lanes_total() const {
  return panels_ == 0 ? 0 : first_lane(panels_ - 1) + int64_t{vectors(panels_ - 1)} * lanes_;
}

PackedLinear CpuLinearWeight::packed() const {
  const size_t lane_bytes = static_cast<size_t>(layout_.lanes_total()) * 4;
  const auto part = [](const WeightBlock& block, size_t bytes) {
    return std::span<const char>(block.get(), block ? bytes : 0);
  };
  PackedLinear packed;
  packed.compute = kernel_->panel == PanelFormat::kF32    ? ComputeType::kF32
                   : kernel_->panel == PanelFormat::kBF16 ? ComputeType::kBF16
                                                          : ComputeType::kI8;
  packed.in_features = in_features_;
  packed.out_features = out_features_;
  packed.glu = glu_;
  packed.parts = {part(panels_, static_cast<size_t>(layout_.bytes_total())), part(bias_, lane_bytes),
                  part(scales_, lane_bytes), part(column_sums_, lane_bytes)};
  return packed;
}

void CpuLinearWeight::describe_panel(int64_t panel, PanelTask& task) const {
  const int64_t lane = layout_.first_lane(panel);
  task.panel = panels_.get() + layout_.byte_offset(panel);
  task.steps = layout_.steps();
  task.vectors = layout_.vectors(panel);
  task.columns = layout_.columns(panel);
  task.bias = bias_ ? reinterpret_cast<const float*>(bias_.get()) + lane : nullptr;
  task.scale = scales_ ? reinterpret_cast<const float*>(scales_.get()) + lane : nullptr;
  task.column_sum = column_sums_ ? reinterpret_cast<const int32_t*>(column_sums_.get()) + lane : nullptr;
  task.glu = glu_;
}

}  // namespace padless
