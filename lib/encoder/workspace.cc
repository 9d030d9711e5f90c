#include "lib/encoder/workspace.h"

namespace padless {
namespace {

struct Need {
  int64_t cols;
  DType dtype;
};

/** By Binding; no columns where the spec needs none. */
std::vector<Need> needs(const EncoderSpec& spec, DType activations) {
  const bool convolves = spec.convolution.kernel > 0;
  std::vector<Need> needs(kRope);
  needs[kHidden] = {spec.hidden_size, activations};
  needs[kQkv] = {spec.query_width() + 2 * spec.key_width(), activations};
  needs[kContext] = {spec.query_width(), activations};
  needs[kEmbedding] = {spec.embeddings.projection ? spec.embeddings.width : 0, activations};
  needs[kWindow] = {spec.convolution.kernel * spec.hidden_size, activations};
  needs[kAdapted] = {spec.adapters.count > 0 ? spec.adapters.rank : 0, activations};
  needs[kConvolved] = {convolves ? spec.hidden_size : 0, activations};
  for (const RopeSpec& rope : spec.ropes) needs.push_back({rope.rotary_dim, DType::kF32});
  return needs;
}

}  // namespace

Status Workspace::resize(Engine& engine, const EncoderSpec& spec, DType activations, int64_t tokens) {
  const std::vector<Need> wanted = needs(spec, activations);
  if (tokens > capacity_) {
    buffers_.clear();
    capacity_ = 0;
    for (const auto& [cols, dtype] : wanted) {
      auto buffer = engine.allocate(static_cast<size_t>(tokens) * cols * dtype_size(dtype));
      if (!buffer.is_ok()) return buffer.status();
      buffers_.push_back(buffer.take());
    }
    capacity_ = tokens;
  }
  matrices.clear();
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto& [cols, dtype] = wanted[i];
    void* data = i < buffers_.size() && cols > 0 ? buffers_[i]->data() : nullptr;
    matrices.push_back({data, dtype, tokens, cols, cols});
  }
  return Status::ok();
}

}  // namespace padless
