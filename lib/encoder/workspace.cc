#include "lib/encoder/workspace.h"

#include <algorithm>
#include <iterator>

namespace padless {
namespace {

struct Need {
  int64_t cols;
  DType dtype;
};

/** By Binding, up to the ropes; no columns where the spec needs none. */
std::vector<Need> needs(const EncoderSpec& spec, DType activations) {
  const bool convolves = spec.convolution.kernel > 0;
  std::vector<Need> needs(kRope);
  needs[kHidden] = {spec.hidden_size, activations};
  needs[kQkv] = {spec.query_width() + 2 * spec.key_width(), activations};
  needs[kContext] = {spec.query_width(), activations};
  needs[kEmbedding] = {spec.embeddings.projection ? spec.embeddings.width : 0, activations};
  needs[kWindow] = {spec.convolution.kernel * spec.hidden_size, activations};
  needs[kAdapted] = {spec.adapters.count > 0 ? spec.adapters.rank : 0, activations};
  needs[kMixed] = {spec.mlp.experts > 0 ? spec.hidden_size : 0, activations};
  needs[kConvolved] = {convolves ? spec.hidden_size : 0, activations};
  return needs;
}

}  // namespace

Status Workspace::fit(Engine& engine, const EncoderSpec& spec, DType activations) {
  const std::vector<Need> wanted = needs(spec, activations);
  const int64_t rows = batch->rows();
  if (rows > capacity_) {
    buffers_.clear();
    capacity_ = 0;
    for (const auto& [cols, dtype] : wanted) {
      auto buffer = engine.allocate(static_cast<size_t>(rows) * cols * dtype_size(dtype));
      if (!buffer.is_ok()) return buffer.status();
      buffers_.push_back(buffer.take());
    }
    capacity_ = rows;
  }
  matrices.clear();
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto& [cols, dtype] = wanted[i];
    void* data = i < buffers_.size() && cols > 0 ? buffers_[i]->data() : nullptr;
    matrices.push_back({data, dtype, rows, cols, cols});
  }
  for (size_t i = 0; i < spec.ropes.size(); ++i) matrices.push_back(batch->token_rows(i));
  return Status::ok();
}

size_t Workspace::bytes() const {
  size_t bytes = batch ? batch->bytes() : 0;
  for (const auto& buffer : buffers_) bytes += buffer->bytes();
  for (const auto& [key, forward] : forwards) bytes += forward.recording ? forward.recording->bytes() : 0;
  return bytes;
}

Workspace& Workspaces::take(const BatchCapacity& capacity) {
  if (!capacity.recordable) return other_;
  const auto found = std::ranges::find(recorded_, capacity, &Kept::capacity);
  if (found != recorded_.end()) {
    recorded_.splice(recorded_.begin(), recorded_, found);
  } else {
    recorded_.push_front({capacity, {}});
  }
  size_t bytes = recorded_.front().space.bytes();
  for (auto at = std::next(recorded_.begin()); at != recorded_.end();) {
    bytes += at->space.bytes();
    at = bytes > most_bytes_ ? recorded_.erase(at) : std::next(at);
  }
  return recorded_.front().space;
}

bool Workspaces::release() {
  const bool had = !recorded_.empty();
  recorded_.clear();
  return had;
}

}  // namespace padless
