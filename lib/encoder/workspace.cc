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
std::vector<Need> needs(const EncoderSpec& spec, const ActivationStorage& storage) {
  const DType activations = storage.dtype;
  const bool convolves = spec.convolution.kernel > 0;
  std::vector<Need> needs(kRope);
  needs[kHidden] = {spec.hidden_size, activations};
  needs[kQkv] = {spec.query_width() + 2 * spec.key_width(), storage.qkv};
  needs[kContext] = {storage.context_in_queries ? 0 : spec.query_width(), activations};
  needs[kEmbedding] = {spec.embeddings.projection ? spec.embeddings.width : 0, activations};
  needs[kWindow] = {spec.convolution.kernel * spec.hidden_size, activations};
  needs[kAdapted] = {spec.adapters.count > 0 ? spec.adapters.rank : 0, activations};
  needs[kMixed] = {spec.mlp.experts > 0 ? spec.hidden_size : 0, activations};
  needs[kConvolved] = {convolves ? spec.hidden_size : 0, activations};
  return needs;
}

}  // namespace

int64_t activation_bytes(const EncoderSpec& spec, const ActivationStorage& storage) {
  int64_t bytes = 0;
  for (const Need& need : needs(spec, storage))
    bytes += need.cols * static_cast<int64_t>(dtype_size(need.dtype));
  return bytes;
}

Status Workspace::fit(Engine& engine, const EncoderSpec& spec, const ActivationStorage& storage, int64_t rows,
                      int64_t layer_rows, void* lent) {
  const std::vector<Need> wanted = needs(spec, storage);
  context_columns_ = storage.context_in_queries ? spec.query_width() : 0;
  lent_hidden_ = lent;
  activations_.resize(wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    Activations& kept = activations_[i];
    kept.cols = wanted[i].cols;
    kept.dtype = wanted[i].dtype;
    const int64_t needed = i == kHidden ? rows : layer_rows;
    if (kept.cols == 0 || needed <= kept.rows || (i == kHidden && lent)) continue;
    kept.buffer.reset();
    kept.rows = 0;
    auto buffer = engine.allocate(static_cast<size_t>(needed) * kept.cols * dtype_size(kept.dtype));
    if (!buffer.is_ok()) return buffer.status();
    kept.buffer = buffer.take();
    kept.rows = needed;
  }
  return Status::ok();
}

Matrix Workspace::rows_of(size_t binding, int64_t first, int64_t count) const {
  const auto& [cols, dtype, rows, buffer] = activations_[binding];
  void* data = buffer ? buffer->data() : nullptr;
  if (binding == kHidden && lent_hidden_) data = lent_hidden_;
  if (data) data = static_cast<char*>(data) + static_cast<size_t>(first) * cols * dtype_size(dtype);
  return {data, dtype, count, cols, cols};
}

LayerRows Workspace::layer_rows(const PreparedBatch& part, int64_t first, size_t ropes) const {
  LayerRows result{part, {}};
  for (size_t i = 0; i < activations_.size(); ++i) {
    result.matrices.push_back(rows_of(i, i == kHidden ? first : 0, part.rows()));
  }
  if (context_columns_ > 0) result.matrices[kContext] = result.matrices[kQkv].columns(0, context_columns_);
  for (size_t i = 0; i < ropes; ++i) result.matrices.push_back(part.token_rows(i));
  return result;
}

Matrix Workspace::hidden(int64_t count) const { return rows_of(kHidden, 0, count); }

size_t Workspace::bytes() const {
  size_t bytes = batch ? batch->bytes() : 0;
  for (const Activations& each : activations_) bytes += each.buffer ? each.buffer->bytes() : 0;
  for (const auto& [kind, forward] : forwards_) {
    bytes += forward.recording ? forward.recording->bytes() : 0;
    bytes += forward.rows ? forward.rows->bytes() : 0;
  }
  return bytes;
}

RecordedForward& Workspace::forward(const ForwardKind& kind) {
  if (forwards_.size() >= kMostForwards && !forwards_.contains(kind)) forwards_.clear();
  return forwards_[kind];
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
