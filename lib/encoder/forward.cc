// The forward: embed, then for each layer an attention and a row program, then the pooled heads.
#include <algorithm>
#include <array>

#include "lib/encoder/encoder.h"
#include "lib/encoder/workspace.h"

namespace padless {
namespace {

Status check_running(const Cancelled& cancelled) {
  PADLESS_CHECK(!cancelled(), Code::kAborted, "signal", "The operation was aborted by its signal.");
  return Status::ok();
}

}  // namespace

/**
 * Post-norm layers (BERT, section 3 of arXiv:1810.04805 after arXiv:1706.03762):
 *   y = norm(x + output(attention(qkv(x))));  x' = norm(y + down(activation(up(y)))).
 * Program i + 1 takes the context of attention i to x' and straight on to the QKV of layer i + 1.
 */
Status Encoder::build_programs(WeightBinder& binder) {
  const int64_t hidden = spec_.hidden_size;
  const int64_t query = spec_.query_width();
  const int64_t qkv = query + 2 * spec_.key_width();
  const auto norm = [&](RowProgram& program, Slot in, Slot out, const auto& gamma, const auto& beta) {
    program.steps.push_back(NormStep{spec_.norm.kind, gamma, beta, spec_.norm.eps, in, out});
  };
  for (int64_t i = 0; i <= spec_.num_layers(); ++i) {
    RowProgram& program = programs_.emplace_back();
    const Slot x = program.bound(kHidden, hidden);
    if (i > 0) {
      const Layer& layer = layers_[i - 1];
      const Slot context = program.bound(kContext, query);
      const Slot y = program.temporary(hidden);
      const Slot inner = program.temporary(spec_.mlp.intermediate_size);
      program.steps.push_back(LinearStep{layer.output, context, y, x});
      norm(program, y, y, layer.attention_gamma, layer.attention_beta);
      program.steps.push_back(LinearStep{layer.up, y, inner, kNoSlot, spec_.mlp.activation});
      program.steps.push_back(LinearStep{layer.down, inner, x, y});
      norm(program, x, x, layer.mlp_gamma, layer.mlp_beta);
    }
    if (i < spec_.num_layers()) {
      program.steps.push_back(LinearStep{layers_[i].qkv, x, program.bound(kQkv, qkv)});
    }
  }

  if (spec_.pooler) {
    auto dense = binder.linear({"pooler"}, hidden, {hidden});
    if (!dense.is_ok()) return dense.status();
    const Slot first = pooler_.bound(0, hidden);
    const Slot out = pooler_.bound(1, hidden);
    pooler_.steps.push_back(LinearStep{dense.take(), first, out, kNoSlot, Activation::kTanh});
  }

  Slot at = head_.bound(0, hidden * static_cast<int64_t>(spec_.pooling.size()));
  for (size_t i = 0; i < spec_.head.size(); ++i) {
    const HeadStep& step = spec_.head[i];
    const int64_t width = step.kind == HeadStep::Kind::kDense ? step.out_features : head_.slots[at].cols;
    const Slot out = i + 1 == spec_.head.size() ? head_.bound(1, width) : head_.temporary(width);
    if (step.kind == HeadStep::Kind::kDense) {
      auto dense = binder.linear({step.weights}, step.in_features, {step.out_features});
      if (!dense.is_ok()) return dense.status();
      head_.steps.push_back(LinearStep{dense.take(), at, out, kNoSlot, step.activation});
    } else {
      head_.steps.push_back(L2NormalizeStep{at, out});
    }
    at = out;
  }
  return Status::ok();
}

Result<std::unique_ptr<Encoder::Workspace>> Encoder::take_workspace(int64_t tokens) {
  std::unique_ptr<Workspace> space;
  {
    std::lock_guard lock(workspaces_mutex_);
    if (!workspaces_.empty()) {
      space = std::move(workspaces_.back());
      workspaces_.pop_back();
    }
  }
  if (!space) space = std::make_unique<Workspace>();
  const int64_t query = spec_.query_width();
  const int64_t qkv = query + 2 * spec_.key_width();
  const std::array<int64_t, kBindings> widths = {spec_.hidden_size, qkv, query};
  const bool grow = tokens > space->capacity;
  for (int i = 0; i < kBindings; ++i) {
    if (grow) {
      space->buffers[i].reset();
      auto buffer = engine_->allocate(static_cast<size_t>(tokens) * widths[i] * dtype_size(activations_));
      if (!buffer.is_ok()) return buffer.status();
      space->buffers[i] = buffer.take();
    }
    void* data = space->buffers[i] ? space->buffers[i]->data() : nullptr;
    space->matrices[i] = {data, activations_, tokens, widths[i], widths[i]};
  }
  space->capacity = std::max(space->capacity, tokens);
  return space;
}

void Encoder::keep_workspace(std::unique_ptr<Workspace> space) {
  std::lock_guard lock(workspaces_mutex_);
  workspaces_.push_back(std::move(space));
}

Status Encoder::run_layers(Stream& stream, const PreparedBatch& batch, Workspace& space,
                           const Cancelled& cancelled) {
  const int64_t tokens = batch.host().tokens();
  const Matrix& qkv = space.matrices[kQkv];
  const int64_t query = spec_.query_width();
  const int64_t key = spec_.key_width();
  EmbedArgs embed;
  embed.word = word_.get();
  embed.position = position_.get();
  embed.position_offset = spec_.positions.offset;
  embed.token_type = token_type_.get();
  embed.gamma = embedding_gamma_.get();
  embed.beta = embedding_beta_.get();
  embed.norm = spec_.norm.kind;
  embed.eps = spec_.norm.eps;
  embed.out = space.matrices[kHidden];
  PADLESS_RETURN_IF_ERROR(engine_->embed(stream, batch, embed));

  AttentionArgs attention;
  attention.shape = spec_.attention;
  attention.scale = spec_.attention_scale;
  attention.q = qkv.columns(0, query);
  attention.k = qkv.columns(query, key);
  attention.v = qkv.columns(query + key, key);
  attention.out = space.matrices[kContext];
  for (int64_t i = 0; i <= spec_.num_layers(); ++i) {
    PADLESS_RETURN_IF_ERROR(check_running(cancelled));
    if (i > 0) PADLESS_RETURN_IF_ERROR(engine_->attention(stream, batch, attention));
    if (programs_[i].steps.empty()) continue;
    PADLESS_RETURN_IF_ERROR(engine_->run_rows(stream, programs_[i], space.matrices, tokens));
  }
  return Status::ok();
}

Status Encoder::pooler_output(Stream& stream, const PreparedBatch& batch, const Matrix& hidden, float* out) {
  const int64_t rows = batch.host().sequences();
  const int64_t cols = spec_.hidden_size;
  const size_t bytes = static_cast<size_t>(rows) * cols * sizeof(float);
  auto buffer = engine_->allocate(2 * bytes);
  if (!buffer.is_ok()) return buffer.status();
  float* first = static_cast<float*>(buffer.value()->data());
  const Matrix matrices[] = {{first, DType::kF32, rows, cols, cols},
                             {first + rows * cols, DType::kF32, rows, cols, cols}};
  PADLESS_RETURN_IF_ERROR(engine_->pool(stream, batch, {PoolMode::kCls, hidden, matrices[0], {}}));
  PADLESS_RETURN_IF_ERROR(engine_->run_rows(stream, pooler_, matrices, rows));
  return engine_->copy_to_host(stream, out, matrices[1].data, bytes);
}

Status Encoder::sentence_embedding(Stream& stream, const PreparedBatch& batch, const Matrix& hidden,
                                   const ForwardRequest& request, float* out) {
  const bool own = request.pooling.empty();
  const std::vector<PoolMode>& modes = own ? spec_.pooling : request.pooling;
  const int64_t rows = batch.host().sequences();
  const int64_t pooled_width = spec_.hidden_size * static_cast<int64_t>(modes.size());
  const bool has_head = own && !spec_.head.empty();
  const int64_t full_width = has_head ? embedding_width({}) : pooled_width;
  auto buffer = engine_->allocate(static_cast<size_t>(rows) * (pooled_width + full_width) * sizeof(float));
  if (!buffer.is_ok()) return buffer.status();
  float* memory = static_cast<float*>(buffer.value()->data());
  const Matrix pooled = {memory, DType::kF32, rows, pooled_width, pooled_width};
  Matrix embedding = pooled;

  for (size_t i = 0; i < modes.size(); ++i) {
    const Matrix columns = pooled.columns(static_cast<int64_t>(i) * spec_.hidden_size, spec_.hidden_size);
    PADLESS_RETURN_IF_ERROR(engine_->pool(stream, batch, {modes[i], hidden, columns, request.skip}));
  }
  if (has_head) {
    embedding = {memory + rows * pooled_width, DType::kF32, rows, full_width, full_width};
    const Matrix matrices[] = {pooled, embedding};
    PADLESS_RETURN_IF_ERROR(engine_->run_rows(stream, head_, matrices, rows));
  }
  const int64_t width = embedding_width(request);
  const Matrix kept = embedding.columns(0, width);
  if (request.normalize) {
    RowProgram normalize;
    const Slot slot = normalize.bound(0, width);
    normalize.steps.push_back(L2NormalizeStep{slot, slot});
    PADLESS_RETURN_IF_ERROR(engine_->run_rows(stream, normalize, std::span(&kept, 1), rows));
  }
  return engine_->copy_rows_to_host(stream, out, kept);
}

Status Encoder::forward(Stream& stream, const PackedBatch& batch, const ForwardRequest& request,
                        const ForwardResult& result, const Cancelled& cancelled) {
  auto prepared = engine_->prepare(stream, batch, spec_.attention);
  if (!prepared.is_ok()) return prepared.status();
  auto taken = take_workspace(batch.tokens());
  if (!taken.is_ok()) return taken.status();
  std::unique_ptr<Workspace> space = taken.take();

  Status status = run_layers(stream, *prepared.value(), *space, cancelled);
  const Matrix& hidden = space->matrices[kHidden];
  if (status.is_ok() && result.last_hidden_state) {
    status = engine_->copy_rows_to_host(stream, result.last_hidden_state, hidden);
  }
  if (status.is_ok() && result.pooler_output) {
    status = pooler_output(stream, *prepared.value(), hidden, result.pooler_output);
  }
  if (status.is_ok() && result.sentence_embedding) {
    status = sentence_embedding(stream, *prepared.value(), hidden, request, result.sentence_embedding);
  }
  if (status.is_ok() && result.logits) {
    status = logits_->run(stream, *prepared.value(), hidden, request.logit_rows, result.logits,
                          [&] { return check_running(cancelled); });
  }
  keep_workspace(std::move(space));
  return status;
}

}  // namespace padless
