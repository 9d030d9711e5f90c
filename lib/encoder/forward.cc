// The forward: embed, then for each layer an attention and a row program, then pooled.cc, then heads of
// tokens.
#include <algorithm>
#include <utility>

#include "lib/core/guard.h"
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

bool Encoder::replay(Stream& stream, RecordedForward& forward, const std::function<Status()>& body) {
  // The first run loads the kernels, which a recording must not; and many a capacity is met but once.
  if (!std::exchange(forward.seen, true) || forward.refused) return false;
  if (!forward.recording) {
    auto recorded = engine_->record(stream, body);
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

Result<Encoder::Encoded> Encoder::encode(Stream& stream, Workspaces& spaces, const PackedBatch& batch,
                                         const ForwardRequest& request, float* hidden_rows,
                                         const Cancelled& cancelled) {
  BatchCapacity capacity = engine_->capacity(batch);
  // The windows of a convolution are gathered by indices from the host.
  capacity.recordable = capacity.recordable && !weights_.convolution;
  Workspace& space = spaces.take(capacity);
  const std::vector<int64_t> cuts =
      cut_sequences(batch.cu_seqlens, engine_->layer_tokens(activation_bytes(spec_, storage_)));
  const bool sliced = cuts.size() > 2;
  PADLESS_RETURN_IF_ERROR(
      prepare_batch(stream, space, batch, {capacity, sliced ? std::span<const TokenRows>{} : token_rows_}));
  const PreparedBatch& prepared = *space.batch;
  int64_t layer_rows = prepared.rows();
  if (sliced) {
    layer_rows = 0;
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
      layer_rows = std::max<int64_t>(layer_rows, batch.cu_seqlens[cuts[i + 1]] - batch.cu_seqlens[cuts[i]]);
    }
  }
  PADLESS_RETURN_IF_ERROR(space.fit(*engine_, spec_, storage_, prepared.rows(), layer_rows, hidden_rows));
  PADLESS_RETURN_IF_ERROR(check_running(cancelled));

  Encoded encoded{&space, pooled_outputs(request, prepared.pooled_rows()), std::make_shared<PooledRows>()};
  RecordedForward* recorded = nullptr;
  if (capacity.recordable) {
    recorded = &space.forward({request.layers, request.adapter, prepared.kernels(), encoded.outputs});
    // A recording goes on writing where it was made to.
    if (recorded->rows) encoded.rows = recorded->rows;
  }
  if (recorded == nullptr || !recorded->rows) {
    PADLESS_RETURN_IF_ERROR(make_room(encoded.outputs, request, prepared.pooled_rows(), *encoded.rows));
    if (recorded != nullptr) recorded->rows = encoded.rows;
  }
  const auto run_heads = [&] {
    return run_pooled(stream, prepared, space.hidden(prepared.rows()), request, encoded.outputs,
                      *encoded.rows);
  };
  if (sliced) {
    PADLESS_RETURN_IF_ERROR(encode_slices(stream, space, batch, cuts, request, cancelled));
    PADLESS_RETURN_IF_ERROR(run_heads());
    return encoded;
  }
  const LayerRows rows = space.layer_rows(prepared, 0, token_rows_.size());
  const auto run = [&](const Cancelled& stopped) -> Status {
    PADLESS_RETURN_IF_ERROR(run_layers(stream, rows, request, stopped));
    return run_heads();
  };
  if (recorded == nullptr || !replay(stream, *recorded, [&] { return run([] { return false; }); }))
    PADLESS_RETURN_IF_ERROR(run(cancelled));
  return encoded;
}

Status Encoder::token_heads(Stream& stream, const PreparedBatch& batch, const Matrix& hidden,
                            const ForwardRequest& request, const ForwardResult& result,
                            const Cancelled& cancelled) {
  const auto keep_going = [&] { return check_running(cancelled); };
  if (result.logits && !logits_->takes_pooled(batch.pooled_rows())) {
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
  Status status =
      guarded([&] { return forward_or_throw(stream, spaces, batch, request, result, cancelled); });
  return explained(std::move(status), "pass fewer tokens at a time (batchTokens), or give the process more",
                   "run ", batch.tokens(), " tokens of ", batch.sequences(), " sequences");
}

Status Encoder::forward_or_throw(Stream& stream, Workspaces& spaces, const PackedBatch& batch,
                                 const ForwardRequest& request, const ForwardResult& result,
                                 const Cancelled& cancelled) {
  // The layers work in the result where they can, which saves a copy of it.
  const bool shared = engine_->works_in_host_memory() && storage_.dtype == DType::kF32;
  float* const hidden_rows = shared ? result.last_hidden_state : nullptr;
  Result<Encoded> encoded = encode(stream, spaces, batch, request, hidden_rows, cancelled);
  if (encoded.status().code() == Code::kOutOfMemory && spaces.release()) {
    encoded = encode(stream, spaces, batch, request, hidden_rows, cancelled);
  }
  if (!encoded.is_ok()) return encoded.status();
  const Workspace& space = *encoded.value().space;
  const Matrix hidden = space.hidden(batch.tokens());
  if (result.last_hidden_state && !hidden_rows) {
    PADLESS_RETURN_IF_ERROR(engine_->copy_rows_to_host(stream, result.last_hidden_state, hidden));
  }
  PADLESS_RETURN_IF_ERROR(read_pooled(stream, encoded.value(), request, result));
  return token_heads(stream, *space.batch, hidden, request, result, cancelled);
}

}  // namespace padless
