// The forward: embed, then for each layer an attention and a row program, then the pooled heads.
#include <algorithm>
#include <utility>

#include "lib/encoder/batch_slice.h"
#include "lib/encoder/convolution.h"
#include "lib/encoder/encoder.h"
#include "lib/encoder/row_blocks.h"

namespace padless {
namespace {

Status check_running(const Cancelled& cancelled) {
  PADLESS_CHECK(!cancelled(), Code::kAborted, "signal", "The operation was aborted by its signal.");
  return Status::ok();
}

}  // namespace

Status Encoder::embed(Stream& stream, const LayerRows& rows, int64_t adapter) {
  EmbedArgs args;
  args.word = weights_.word.get();
  args.word_scale = spec_.embeddings.word_scale;
  args.position = weights_.position.get();
  args.position_offset = spec_.positions.offset;
  args.token_type = weights_.token_type.get();
  if (!spec_.embeddings.norm_after_projection) {
    args.gamma = weights_.embedding_norm.gamma.get();
    args.beta = weights_.embedding_norm.beta.get();
  }
  args.norm = spec_.norm.kind;
  args.eps = spec_.norm.eps;
  args.out = rows.matrices[spec_.embeddings.projection ? kEmbedding : kHidden];
  if (adapter < 0) return engine_->embed(stream, rows.batch, args);
  // The norm follows when the words' additions are in.
  const Adapter& added = weights_.adapters[adapter];
  args.gamma = args.beta = nullptr;
  if (added.token_type) args.token_type = added.token_type.get();
  PADLESS_RETURN_IF_ERROR(engine_->embed(stream, rows.batch, args));
  EmbedArgs low;
  low.word = added.word.get();
  low.out = rows.matrices[kAdapted];
  return engine_->embed(stream, rows.batch, low);
}

Status Encoder::convolve(Stream& stream, const LayerRows& rows) {
  const int64_t hidden = spec_.hidden_size;
  const int64_t kernel = spec_.convolution.kernel;
  for (int64_t tap = 0; tap < kernel; ++tap) {
    const std::vector<int32_t> indices = shifted_rows(rows.batch.host().cu_seqlens, tap - kernel / 2);
    PADLESS_RETURN_IF_ERROR(engine_->gather_rows(stream, rows.matrices[kHidden], indices,
                                                 rows.matrices[kWindow].columns(tap * hidden, hidden)));
  }
  return engine_->run_token_rows(stream, rows.batch, programs_of(-1).convolution, rows.matrices);
}

Status Encoder::run_layers(Stream& stream, const LayerRows& rows, const ForwardRequest& request,
                           const Cancelled& cancelled) {
  const int64_t layers = request.layers;
  const LayerPrograms& programs = programs_of(request.adapter);
  PADLESS_RETURN_IF_ERROR(embed(stream, rows, request.adapter));
  const Matrix& qkv = rows.matrices[kQkv];
  AttentionArgs attention;
  attention.shape = spec_.attention;
  attention.scale = spec_.attention_scale;
  attention.compute = spec_.compute;
  attention.q = qkv.columns(0, spec_.query_width());
  attention.k = qkv.columns(spec_.query_width(), spec_.key_width());
  attention.v = qkv.columns(spec_.query_width() + spec_.key_width(), spec_.key_width());
  attention.out = rows.matrices[kContext];
  for (int64_t i = 0; i <= layers; ++i) {
    PADLESS_RETURN_IF_ERROR(check_running(cancelled));
    if (i > 0) {
      attention.span = spec_.layers[i - 1].span;
      attention.bias = bias_.of_layer(spec_.layers[i - 1].weights);
      PADLESS_RETURN_IF_ERROR(engine_->attention(stream, rows.batch, attention));
    }
    const RowProgram& program = i < layers ? programs.between[i] : programs.last[i];
    if (program.steps.empty()) continue;
    PADLESS_RETURN_IF_ERROR(engine_->run_token_rows(stream, rows.batch, program, rows.matrices));
    if (i == 0 && weights_.convolution) PADLESS_RETURN_IF_ERROR(convolve(stream, rows));
  }
  return Status::ok();
}

bool Encoder::replay_layers(Stream& stream, Workspace& space, const LayerRows& rows,
                            const ForwardRequest& request) {
  RecordedForward& forward = space.forwards[{request.layers, request.adapter, space.batch->kernels()}];
  // The first run loads the kernels, which a recording must not; and many a capacity is met but once.
  if (!std::exchange(forward.seen, true) || forward.refused) return false;
  if (!forward.recording) {
    auto recorded =
        engine_->record(stream, [&] { return run_layers(stream, rows, request, [] { return false; }); });
    if (recorded.is_ok()) forward.recording = recorded.take();
  }
  if (forward.recording && engine_->replay(stream, *forward.recording).is_ok()) return true;
  forward.recording.reset();
  forward.refused = true;
  return false;
}

Status Encoder::prepare_batch(Stream& stream, Workspace& space, const PackedBatch& batch,
                              const BatchLayout& layout) {
  if (space.batch && layout.capacity.recordable) {
    return engine_->refill(stream, *space.batch, batch, layout.token_rows);
  }
  space.batch.reset();
  auto prepared = engine_->prepare(stream, batch, spec_.attention, layout);
  if (!prepared.is_ok()) return prepared.status();
  space.batch = prepared.take();
  return Status::ok();
}

Status Encoder::encode_slices(Stream& stream, Workspace& space, const PackedBatch& batch,
                              std::span<const int64_t> cuts, const ForwardRequest& request,
                              const Cancelled& cancelled) {
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    const BatchSlice slice(batch, cuts[i], cuts[i + 1]);
    auto prepared = engine_->prepare(stream, slice.batch(), spec_.attention, {.token_rows = token_rows_});
    if (!prepared.is_ok()) return prepared.status();
    const LayerRows rows = space.layer_rows(*prepared.value(), slice.first_token(), token_rows_.size());
    PADLESS_RETURN_IF_ERROR(run_layers(stream, rows, request, cancelled));
  }
  return Status::ok();
}

Result<Workspace*> Encoder::encode(Stream& stream, Workspaces& spaces, const PackedBatch& batch,
                                   const ForwardRequest& request, const Cancelled& cancelled) {
  BatchCapacity capacity = engine_->capacity(batch);
  // The windows of a convolution are gathered by indices from the host.
  capacity.recordable = capacity.recordable && !weights_.convolution;
  Workspace& space = spaces.take(capacity);
  const std::vector<int64_t> cuts = cut_sequences(batch.cu_seqlens, engine_->layer_tokens());
  const bool sliced = cuts.size() > 2;
  PADLESS_RETURN_IF_ERROR(
      prepare_batch(stream, space, batch, {capacity, sliced ? std::span<const TokenRows>{} : token_rows_}));
  int64_t layer_rows = space.batch->rows();
  if (sliced) {
    layer_rows = 0;
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
      layer_rows = std::max<int64_t>(layer_rows, batch.cu_seqlens[cuts[i + 1]] - batch.cu_seqlens[cuts[i]]);
    }
  }
  PADLESS_RETURN_IF_ERROR(space.fit(*engine_, spec_, activations_, qkv_, space.batch->rows(), layer_rows));
  PADLESS_RETURN_IF_ERROR(check_running(cancelled));
  if (sliced) {
    PADLESS_RETURN_IF_ERROR(encode_slices(stream, space, batch, cuts, request, cancelled));
    return &space;
  }
  const LayerRows rows = space.layer_rows(*space.batch, 0, token_rows_.size());
  if (!capacity.recordable || !replay_layers(stream, space, rows, request)) {
    PADLESS_RETURN_IF_ERROR(run_layers(stream, rows, request, cancelled));
  }
  return &space;
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

Status Encoder::forward(Stream& stream, Workspaces& spaces, const PackedBatch& batch,
                        const ForwardRequest& request, const ForwardResult& result,
                        const Cancelled& cancelled) {
  Result<Workspace*> encoded = encode(stream, spaces, batch, request, cancelled);
  if (encoded.status().code() == Code::kOutOfMemory && spaces.release()) {
    encoded = encode(stream, spaces, batch, request, cancelled);
  }
  if (!encoded.is_ok()) return encoded.status();
  const PreparedBatch& prepared = *encoded.value()->batch;
  const Matrix hidden = encoded.value()->hidden(batch.tokens());
  if (result.last_hidden_state) {
    PADLESS_RETURN_IF_ERROR(engine_->copy_rows_to_host(stream, result.last_hidden_state, hidden));
  }
  if (result.pooler_output) {
    PADLESS_RETURN_IF_ERROR(pooler_output(stream, prepared, hidden, request.adapter, result.pooler_output));
  }
  if (result.sentence_embedding) {
    PADLESS_RETURN_IF_ERROR(sentence_embedding(stream, prepared, hidden, request, result.sentence_embedding));
  }
  return token_heads(stream, prepared, hidden, request, result, cancelled);
}

}  // namespace padless
