// The forward: embed, then for each layer an attention and a row program, then the pooled heads.
#include "lib/encoder/convolution.h"
#include "lib/encoder/encoder.h"

namespace padless {
namespace {

Status check_running(const Cancelled& cancelled) {
  PADLESS_CHECK(!cancelled(), Code::kAborted, "signal", "The operation was aborted by its signal.");
  return Status::ok();
}

}  // namespace

Result<std::unique_ptr<Workspace>> Encoder::take_workspace(int64_t tokens) {
  std::unique_ptr<Workspace> space;
  {
    std::lock_guard lock(workspaces_mutex_);
    if (!workspaces_.empty()) {
      space = std::move(workspaces_.back());
      workspaces_.pop_back();
    }
  }
  if (!space) space = std::make_unique<Workspace>();
  PADLESS_RETURN_IF_ERROR(space->resize(*engine_, spec_, activations_, tokens));
  return space;
}

void Encoder::keep_workspace(std::unique_ptr<Workspace> space) {
  std::lock_guard lock(workspaces_mutex_);
  workspaces_.push_back(std::move(space));
}

Status Encoder::embed(Stream& stream, const PreparedBatch& batch, int64_t adapter, Workspace& space) {
  EmbedArgs args;
  args.word = weights_.word.get();
  args.word_scale = spec_.embeddings.word_scale;
  args.position = weights_.position.get();
  args.position_offset = spec_.positions.offset;
  args.token_type = weights_.token_type.get();
  args.gamma = weights_.embedding_norm.gamma.get();
  args.beta = weights_.embedding_norm.beta.get();
  args.norm = spec_.norm.kind;
  args.eps = spec_.norm.eps;
  args.out = space.matrices[spec_.embeddings.projection ? kEmbedding : kHidden];
  if (adapter < 0) return engine_->embed(stream, batch, args);
  // The norm follows when the words' additions are in.
  const Adapter& added = weights_.adapters[adapter];
  args.gamma = args.beta = nullptr;
  if (added.token_type) args.token_type = added.token_type.get();
  PADLESS_RETURN_IF_ERROR(engine_->embed(stream, batch, args));
  EmbedArgs low;
  low.word = added.word.get();
  low.out = space.matrices[kAdapted];
  return engine_->embed(stream, batch, low);
}

Status Encoder::fill_ropes(Stream& stream, const PackedBatch& batch, Workspace& space) {
  int64_t floats = 0;
  for (const RopeSpec& rope : spec_.ropes) floats += batch.tokens() * rope.rotary_dim;
  space.rope_rows.resize(static_cast<size_t>(floats));
  float* rows = space.rope_rows.data();
  for (size_t i = 0; i < ropes_.size(); ++i) {
    const Matrix& table = space.matrices[kRope + i];
    const int64_t count = table.rows * table.cols;
    ropes_[i]->fill(batch, rows);
    PADLESS_RETURN_IF_ERROR(
        engine_->copy_to_device(stream, table.data, rows, static_cast<size_t>(count) * sizeof(float)));
    rows += count;
  }
  return Status::ok();
}

Status Encoder::convolve(Stream& stream, const PackedBatch& batch, Workspace& space) {
  const int64_t hidden = spec_.hidden_size;
  const int64_t kernel = spec_.convolution.kernel;
  for (int64_t tap = 0; tap < kernel; ++tap) {
    const std::vector<int32_t> rows = shifted_rows(batch.cu_seqlens, tap - kernel / 2);
    PADLESS_RETURN_IF_ERROR(engine_->gather_rows(stream, space.matrices[kHidden], rows,
                                                 space.matrices[kWindow].columns(tap * hidden, hidden)));
  }
  return engine_->run_rows(stream, programs_of(-1).convolution, space.matrices, batch.tokens());
}

Status Encoder::run_layers(Stream& stream, const PreparedBatch& batch, const ForwardRequest& request,
                           Workspace& space, const Cancelled& cancelled) {
  const int64_t tokens = batch.host().tokens();
  const int64_t layers = request.layers;
  const LayerPrograms& programs = programs_of(request.adapter);
  PADLESS_RETURN_IF_ERROR(embed(stream, batch, request.adapter, space));
  PADLESS_RETURN_IF_ERROR(fill_ropes(stream, batch.host(), space));

  const Matrix& qkv = space.matrices[kQkv];
  AttentionArgs attention;
  attention.shape = spec_.attention;
  attention.scale = spec_.attention_scale;
  attention.compute = spec_.compute;
  attention.q = qkv.columns(0, spec_.query_width());
  attention.k = qkv.columns(spec_.query_width(), spec_.key_width());
  attention.v = qkv.columns(spec_.query_width() + spec_.key_width(), spec_.key_width());
  attention.out = space.matrices[kContext];
  for (int64_t i = 0; i <= layers; ++i) {
    PADLESS_RETURN_IF_ERROR(check_running(cancelled));
    if (i > 0) {
      attention.span = spec_.layers[i - 1].span;
      attention.bias = bias_.of_layer(spec_.layers[i - 1].weights);
      PADLESS_RETURN_IF_ERROR(engine_->attention(stream, batch, attention));
    }
    const RowProgram& program = i < layers ? programs.between[i] : programs.last[i];
    if (program.steps.empty()) continue;
    PADLESS_RETURN_IF_ERROR(engine_->run_rows(stream, program, space.matrices, tokens));
    if (i == 0 && weights_.convolution) PADLESS_RETURN_IF_ERROR(convolve(stream, batch.host(), space));
  }
  return Status::ok();
}

Status Encoder::pooler_output(Stream& stream, const PreparedBatch& batch, const Matrix& hidden,
                              int64_t adapter, float* out) {
  const int64_t rows = batch.host().sequences();
  const int64_t cols = spec_.hidden_size;
  const size_t bytes = static_cast<size_t>(rows) * cols * sizeof(float);
  auto buffer = engine_->allocate(2 * bytes);
  if (!buffer.is_ok()) return buffer.status();
  float* first = static_cast<float*>(buffer.value()->data());
  const Matrix matrices[] = {{first, DType::kF32, rows, cols, cols},
                             {first + rows * cols, DType::kF32, rows, cols, cols}};
  PADLESS_RETURN_IF_ERROR(engine_->pool(stream, batch, {PoolMode::kCls, hidden, matrices[0], {}}));
  PADLESS_RETURN_IF_ERROR(engine_->run_rows(stream, poolers_[adapter + 1], matrices, rows));
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

Status Encoder::token_heads(Stream& stream, const PreparedBatch& batch, const Matrix& hidden,
                            const ForwardRequest& request, const ForwardResult& result,
                            const Cancelled& cancelled) {
  const auto keep_going = [&] { return check_running(cancelled); };
  if (result.logits) {
    PADLESS_RETURN_IF_ERROR(
        logits_->run(stream, batch, hidden, request.logit_rows, result.logits, keep_going));
  }
  for (size_t i = 0; i < result.projections.size(); ++i) {
    PADLESS_RETURN_IF_ERROR(projections_[i]->run(stream, batch, hidden, request.projection_rows,
                                                 result.projections[i], keep_going));
  }
  if (!result.sparse) return Status::ok();
  const auto append = [&](int64_t, std::span<const float> maxima) {
    result.sparse->append(maxima, *request.sparse);
  };
  return logits_->max_of_sequences(stream, batch.host(), hidden, append, keep_going);
}

Status Encoder::forward(Stream& stream, const PackedBatch& batch, const ForwardRequest& request,
                        const ForwardResult& result, const Cancelled& cancelled) {
  auto prepared = engine_->prepare(stream, batch, spec_.attention);
  if (!prepared.is_ok()) return prepared.status();
  auto taken = take_workspace(batch.tokens());
  if (!taken.is_ok()) return taken.status();
  std::unique_ptr<Workspace> space = taken.take();

  Status status = run_layers(stream, *prepared.value(), request, *space, cancelled);
  const Matrix& hidden = space->matrices[kHidden];
  if (status.is_ok() && result.last_hidden_state) {
    status = engine_->copy_rows_to_host(stream, result.last_hidden_state, hidden);
  }
  if (status.is_ok() && result.pooler_output) {
    status = pooler_output(stream, *prepared.value(), hidden, request.adapter, result.pooler_output);
  }
  if (status.is_ok() && result.sentence_embedding) {
    status = sentence_embedding(stream, *prepared.value(), hidden, request, result.sentence_embedding);
  }
  if (status.is_ok()) status = token_heads(stream, *prepared.value(), hidden, request, result, cancelled);
  keep_workspace(std::move(space));
  return status;
}

}  // namespace padless
