#include "lib/encoder/encoder.h"

#include <algorithm>

#include "lib/core/guard.h"

namespace padless {
namespace {

constexpr const char* kLessForLoads =
    "dtype 'bf16' or 'int8' takes less, and so does a smaller model; or give the process more";

}  // namespace

Encoder::Encoder(std::shared_ptr<Engine> engine, EncoderSpec spec)
    : engine_(std::move(engine)), spec_(std::move(spec)) {}

Encoder::~Encoder() = default;

Result<std::shared_ptr<Encoder>> Encoder::load(std::shared_ptr<Engine> engine, EncoderSpec spec,
                                               const WeightSource& weights, PackedCache* cache,
                                               const Progress& progress, const Cancelled& cancelled) {
  std::shared_ptr<Encoder> encoder;
  Status status = guarded([&]() -> Status {
    PADLESS_RETURN_IF_ERROR(validate(spec));
    encoder.reset(new Encoder(std::move(engine), std::move(spec)));
    return encoder->bind(weights, cache, progress, cancelled);
  });
  PADLESS_RETURN_IF_ERROR(explained(std::move(status), kLessForLoads, "load the model"));
  return encoder;
}

Status Encoder::bind(const WeightSource& weights, PackedCache* cache, const Progress& progress,
                     const Cancelled& cancelled) {
  // A checkpoint may have more parts than were counted, such as heads; the last report is that of the end.
  int64_t parts = 0;
  const auto report = [&](int64_t done, int64_t total) {
    parts = total;
    if (progress) progress(std::min(done, total - 1), total);
  };
  PADLESS_RETURN_IF_ERROR(bind_parts(weights, cache, report, cancelled));
  if (progress) progress(parts, parts);
  return Status::ok();
}

Status Encoder::bind_parts(const WeightSource& weights, PackedCache* cache, const Progress& progress,
                           const Cancelled& cancelled) {
  Result<DType> activations = engine_->activation_dtype(spec_.compute);
  if (!activations.is_ok()) return activations.status();
  storage_.dtype = storage_.qkv = activations.value();
  // Other steps than products work on them in f32, and so do disentangled products.
  const bool plain = spec_.ropes.empty() && !spec_.query_key_norm && spec_.adapters.count == 0 &&
                     spec_.bias.kind != BiasSpec::Kind::kDisentangled;
  if (plain && engine_->attention_takes_bf16(spec_.compute)) {
    storage_.qkv = DType::kBF16;
    storage_.context_in_queries = engine_->attention_overwrites_queries(spec_.compute, spec_.query_width());
  }

  const int64_t dense_heads = std::count_if(spec_.head.begin(), spec_.head.end(), [](const HeadStep& step) {
    return step.kind == HeadStep::Kind::kDense;
  });
  int64_t head_steps = spec_.logits ? static_cast<int64_t>(spec_.logits->steps.size()) : 0;
  for (const LogitsSpec& projection : spec_.projections) {
    head_steps += static_cast<int64_t>(projection.steps.size());
  }
  const int64_t total = bind_steps(spec_) + ScoreBias::bind_steps(spec_) + adapter_bind_steps(spec_) +
                        spec_.pooler + dense_heads + head_steps;
  int64_t done = 0;
  const auto step = [&]() -> Status {
    PADLESS_CHECK(!cancelled(), Code::kAborted, "signal", "The load was aborted by its signal.");
    progress(++done, total);
    return Status::ok();
  };
  WeightBinder binder(*engine_, weights, spec_.compute, cache, step);

  Result<EncoderWeights> bound = bind_weights(spec_, binder);
  if (!bound.is_ok()) return bound.status();
  weights_ = bound.take();
  Result<ScoreBias> bias = ScoreBias::load(*engine_, spec_, storage_.dtype, binder);
  if (!bias.is_ok()) return bias.status();
  bias_ = bias.take();
  for (const RopeSpec& rope : spec_.ropes) {
    RopeTable& table = *ropes_.emplace_back(std::make_unique<RopeTable>(rope));
    token_rows_.push_back(
        {rope.rotary_dim, [&table](const PackedBatch& batch, float* rows) { table.fill(batch, rows); }});
  }
  // What makes the final vector or logits stays exact, whatever the encoder computes in.
  WeightBinder exact(*engine_, weights, ComputeType::kF32, cache, step);
  // Codes of 8 bits for low-rank factors would save nothing.
  ComputeType factors = spec_.compute;
  if (factors == ComputeType::kI8) factors = ComputeType::kF32;
  if (factors == ComputeType::kFp8) factors = ComputeType::kBF16;
  WeightBinder low_rank(*engine_, weights, factors, cache, step);
  Result<std::vector<Adapter>> adapters = bind_adapters(spec_, low_rank);
  if (!adapters.is_ok()) return adapters.status();
  weights_.adapters = adapters.take();
  programs_.push_back(build_programs(spec_, weights_, nullptr));
  for (const Adapter& adapter : weights_.adapters) {
    programs_.push_back(build_programs(spec_, weights_, &adapter));
  }
  PADLESS_RETURN_IF_ERROR(bind_token_heads(exact));
  return bind_pooled_heads(exact);
}

Status Encoder::bind_token_heads(WeightBinder& exact) {
  if (spec_.logits) {
    auto logits = LogitsHead::load(*engine_, *spec_.logits, spec_.hidden_size, exact);
    if (!logits.is_ok()) return logits.status();
    logits_ = logits.take();
  }
  for (const LogitsSpec& spec : spec_.projections) {
    auto projection = LogitsHead::load(*engine_, spec, spec_.hidden_size, exact);
    if (!projection.is_ok()) return projection.status();
    projections_.push_back(projection.take());
  }
  return Status::ok();
}

namespace {

/** Dense and tanh on the first token's row, `low` added to the product. */
RowProgram pooler_program(const std::shared_ptr<const LinearWeight>& weight, const LowRank& low) {
  RowProgram program;
  const Slot first = program.bound(0, weight->in_features());
  const Slot out = program.bound(1, weight->out_features());
  LinearStep dense{weight, first, out, kNoSlot, Activation::kTanh};
  if (low.down) {
    const Slot inner = program.temporary(low.down->out_features());
    dense.residual = program.temporary(weight->out_features());
    dense.residual_first = true;
    program.steps.push_back(LinearStep{low.down, first, inner});
    program.steps.push_back(LinearStep{low.up, inner, dense.residual});
  }
  program.steps.push_back(std::move(dense));
  return program;
}

}  // namespace

Status Encoder::bind_pooled_heads(WeightBinder& binder) {
  const int64_t hidden = spec_.hidden_size;
  if (spec_.pooler) {
    auto dense = binder.linear({"pooler"}, hidden, {hidden});
    if (!dense.is_ok()) return dense.status();
    const std::shared_ptr<const LinearWeight> weight = dense.take();
    poolers_.push_back(pooler_program(weight, {}));
    for (const Adapter& adapter : weights_.adapters)
      poolers_.push_back(pooler_program(weight, adapter.pooler));
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

size_t Encoder::weight_bytes() const {
  size_t bytes = weights_.bytes() + bias_.bytes();
  const auto add = [&bytes](const RowProgram& program) {
    for (const RowStep& step : program.steps) {
      if (const auto* linear = std::get_if<LinearStep>(&step)) bytes += linear->weight->bytes();
    }
  };
  // The poolers of adapters share the weight of the first.
  if (!poolers_.empty()) add(poolers_.front());
  add(head_);
  for (const auto& projection : projections_) bytes += projection->weight_bytes();
  return bytes + (logits_ ? logits_->weight_bytes() : 0);
}

namespace {

/** The first index whose value is outside [low, limit), or -1. */
int64_t first_outside(std::span<const int32_t> values, int64_t limit, int64_t low = 0) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] < low || values[i] >= limit) return static_cast<int64_t>(i);
  }
  return -1;
}

}  // namespace

Status Encoder::check(const PackedBatch& batch, const ForwardRequest& request) const {
  const int64_t tokens = static_cast<int64_t>(batch.ids.size());
  PADLESS_RETURN_IF_ERROR(check_cu_seqlens(batch.cu_seqlens, tokens));
  PADLESS_CHECK(static_cast<int64_t>(batch.positions.size()) == tokens, Code::kInvalidArgument, "positions",
                "positions holds ", batch.positions.size(), " values for ", tokens, " tokens");
  if (int64_t bad = first_outside(batch.ids, spec_.vocab_size); bad >= 0) {
    return Status(
        Code::kInvalidArgument,
        concat("ids[", bad, "] is ", batch.ids[bad], "; the vocabulary has ids 0 to ", spec_.vocab_size - 1),
        "ids");
  }
  const int64_t lowest = spec_.positions.pad_id >= 0 ? -1 : 0;
  if (int64_t bad = first_outside(batch.positions, spec_.max_length(), lowest); bad >= 0) {
    return Status(Code::kTooLong,
                  concat("positions[", bad, "] is ", batch.positions[bad], "; the model has positions 0 to ",
                         spec_.max_length() - 1, ": shorten or split the sequence"),
                  "positions");
  }
  if (!batch.token_types.empty()) {
    PADLESS_CHECK(static_cast<int64_t>(batch.token_types.size()) == tokens, Code::kInvalidArgument,
                  "tokenTypes", "tokenTypes holds ", batch.token_types.size(), " values for ", tokens,
                  " tokens");
    const int64_t types = spec_.token_types > 0 ? spec_.token_types : 1;
    if (int64_t bad = first_outside(batch.token_types, types); bad >= 0) {
      return Status(Code::kInvalidArgument,
                    concat("tokenTypes[", bad, "] is ", batch.token_types[bad], "; the model has types 0 to ",
                           types - 1),
                    "tokenTypes");
    }
  }
  // Before anything copies, slices or replays them; every layer has a bias of the same kind.
  const AttentionBias bias = spec_.layers.empty() ? AttentionBias{} : bias_.of_layer(0);
  PADLESS_RETURN_IF_ERROR(check_key_counts(batch, bias));
  PADLESS_CHECK(request.layers <= spec_.num_layers() && (request.layers > 0 || spec_.layers.empty()),
                Code::kInvalidArgument, "layers", "layers is ", request.layers,
                "; this model has layers 1 to ", spec_.num_layers());
  PADLESS_CHECK(request.adapter >= -1 && request.adapter < spec_.adapters.count, Code::kInvalidArgument,
                "adapter", "adapter ", request.adapter, " of ", spec_.adapters.count);
  PADLESS_CHECK(!request.pooler_output || spec_.pooler, Code::kUnsupported, "outputs",
                "this checkpoint has no pooler");
  if (request.logits) {
    PADLESS_CHECK(logits_ != nullptr, Code::kUnsupported, "outputs",
                  "this encoder was loaded without a task head");
    PADLESS_RETURN_IF_ERROR(logits_->check(batch, request.logit_rows));
  }
  if (request.sparse) {
    PADLESS_CHECK(logits_ != nullptr && logits_->spec().per_token(), Code::kUnsupported, "outputs",
                  "this encoder has no logits of tokens to make sparse vectors of");
  }
  if (request.projections) {
    PADLESS_CHECK(!projections_.empty(), Code::kUnsupported, "outputs", "this encoder has no projections");
    PADLESS_RETURN_IF_ERROR(projections_[0]->check(batch, request.projection_rows));
  }
  if (!request.sentence_embedding) return Status::ok();
  PADLESS_CHECK(!request.pooling.empty() || !spec_.pooling.empty(), Code::kInvalidArgument, "pooling",
                "this checkpoint says no pooling; name one");
  PADLESS_CHECK(request.skip.empty() || static_cast<int64_t>(request.skip.size()) == batch.sequences(),
                Code::kInvalidArgument, "skip", "skip holds ", request.skip.size(), " counts for ",
                batch.sequences(), " sequences");
  if (int64_t bad = first_outside(request.skip, int64_t{1} << 31); bad >= 0) {
    return Status(Code::kInvalidArgument, concat("skip[", bad, "] is negative"), "skip");
  }
  ForwardRequest whole;
  whole.pooling = request.pooling;
  const int64_t width = embedding_width(whole);
  PADLESS_CHECK(request.dimensions >= 0 && request.dimensions <= width, Code::kInvalidArgument, "dimensions",
                "dimensions is ", request.dimensions, "; this model's embeddings have ", width);
  return Status::ok();
}

Status Encoder::check_distances(const PackedBatch& batch) const {
  if (!spec_.counts_distances()) return Status::ok();
  for (int64_t b = 0; b < batch.sequences(); ++b) {
    for (int64_t t = batch.cu_seqlens[b] + 1; t < batch.cu_seqlens[b + 1]; ++t) {
      PADLESS_CHECK(batch.positions[t] == batch.positions[t - 1] + 1, Code::kUnsupported, "positions",
                    "positions[", t, "] is ", batch.positions[t], " after ", batch.positions[t - 1],
                    "; this model goes by the distances of tokens, and cannot run sequences with holes");
    }
  }
  return Status::ok();
}

std::vector<int32_t> Encoder::effective_positions(const PackedBatch& batch) const {
  std::vector<int32_t> positions(batch.positions.begin(), batch.positions.end());
  if (spec_.positions.pad_id < 0) return positions;
  for (int64_t b = 0; b < batch.sequences(); ++b) {
    const auto first = batch.ids.begin() + batch.cu_seqlens[b];
    const auto last = batch.ids.begin() + batch.cu_seqlens[b + 1];
    if (std::find(first, last, spec_.positions.pad_id) == last) continue;
    int32_t counted = 0;
    std::transform(first, last, positions.begin() + batch.cu_seqlens[b],
                   [&](int32_t id) { return id == spec_.positions.pad_id ? -1 : counted++; });
  }
  return positions;
}

int64_t Encoder::embedding_width(const ForwardRequest& request) const {
  if (request.dimensions > 0) return request.dimensions;
  if (!request.pooling.empty()) return spec_.hidden_size * static_cast<int64_t>(request.pooling.size());
  int64_t width = spec_.hidden_size * static_cast<int64_t>(spec_.pooling.size());
  for (const HeadStep& step : spec_.head) {
    if (step.kind == HeadStep::Kind::kDense) width = step.out_features;
  }
  return width;
}

}  // namespace padless
