#include "lib/encoder/score_bias.h"

#include <string>

namespace padless {
namespace {

/** A result of the engine's, kept as a weight. */
class ComputedTensor final : public DeviceTensor {
 public:
  ComputedTensor(std::unique_ptr<Buffer> buffer, const Matrix& view)
      : buffer_(std::move(buffer)), view_(view) {}
  Matrix view() const override { return view_; }
  size_t bytes() const override { return buffer_->bytes(); }

 private:
  std::unique_ptr<Buffer> buffer_;
  Matrix view_;
};

/** [table_rows, heads] to [heads, 2 * reach + 1]. */
Result<std::shared_ptr<const DeviceTensor>> expand_relative(const EncoderSpec& spec, WeightBinder& binder) {
  const int64_t heads = spec.attention.heads;
  auto table = binder.floats("positions.relative", {spec.bias.table_rows, heads});
  if (!table.is_ok()) return table.status();
  const auto distances = static_cast<int64_t>(spec.bias.rows.size());
  std::vector<float> expanded(static_cast<size_t>(heads * distances));
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t d = 0; d < distances; ++d) {
      expanded[h * distances + d] = table.value()[spec.bias.rows[d] * heads + h];
    }
  }
  return binder.upload(expanded, {heads, distances});
}

}  // namespace

/** Runs DeBERTa's position table through the projections of each layer. */
class PositionProjector {
 public:
  PositionProjector(Engine& engine, const EncoderSpec& spec, DType activations, WeightBinder& binder)
      : engine_(engine), spec_(spec), activations_(activations), binder_(binder) {}

  Status run(ScoreBias& bias) {
    Result<std::shared_ptr<Stream>> stream = engine_.create_stream();
    if (!stream.is_ok()) return stream.status();
    stream_ = stream.take();
    PADLESS_RETURN_IF_ERROR(load_table());
    bias.layers_.resize(spec_.layers.size());
    for (const LayerSpec& layer : spec_.layers) {
      ScoreBias::Projections& target = bias.layers_[layer.weights];
      if (target.keys || target.queries) continue;
      const std::string attention = "layers." + std::to_string(layer.weights) + ".attention.";
      const bool shared = spec_.bias.shared_projections;
      if (spec_.bias.c2p) {
        PADLESS_RETURN_IF_ERROR(project(attention + (shared ? "key" : "positionKey"), target.keys));
      }
      if (spec_.bias.p2c) {
        PADLESS_RETURN_IF_ERROR(project(attention + (shared ? "query" : "positionQuery"), target.queries));
      }
    }
    return Status::ok();
  }

 private:
  Status load_table() {
    const int64_t hidden = spec_.hidden_size;
    auto values = binder_.floats("positions.relative", {spec_.bias.table_rows, hidden});
    if (!values.is_ok()) return values.status();
    const HostTensor host = {values.value().data(), DType::kF32, {spec_.bias.table_rows, hidden}};
    auto table = engine_.upload(host, activations_);
    if (!table.is_ok()) return table.status();
    table_ = table.take();
    if (!spec_.bias.norm) return Status::ok();
    auto gamma = binder_.vector("positions.norm.gamma", hidden);
    if (!gamma.is_ok()) return gamma.status();
    auto beta = binder_.vector("positions.norm.beta", hidden);
    if (!beta.is_ok()) return beta.status();
    norm_.gamma = gamma.take();
    norm_.beta = beta.take();
    norm_.eps = spec_.norm.eps;
    return Status::ok();
  }

  Status project(const std::string& weight, std::shared_ptr<const DeviceTensor>& target) {
    const int64_t rows = spec_.bias.table_rows;
    const int64_t hidden = spec_.hidden_size;
    const int64_t width = spec_.query_width();
    auto linear = binder_.linear({weight}, hidden, {width});
    if (!linear.is_ok()) return linear.status();
    auto buffer = engine_.allocate(static_cast<size_t>(rows * width) * dtype_size(activations_));
    if (!buffer.is_ok()) return buffer.status();
    const Matrix out = {buffer.value()->data(), activations_, rows, width, width};

    RowProgram program;
    Slot in = program.bound(0, hidden);
    const Slot result = program.bound(1, width);
    if (spec_.bias.norm) {
      NormStep norm = norm_;
      norm.in = in;
      norm.out = in = program.temporary(hidden);
      program.steps.push_back(norm);
    }
    program.steps.push_back(LinearStep{linear.take(), in, result});
    const Matrix matrices[] = {table_->view(), out};
    PADLESS_RETURN_IF_ERROR(engine_.run_rows(*stream_, program, matrices, rows));
    // The weight goes with the program: the device must have used it by then.
    PADLESS_RETURN_IF_ERROR(engine_.wait(*stream_));
    target = std::make_shared<ComputedTensor>(buffer.take(), out);
    return Status::ok();
  }

  Engine& engine_;
  const EncoderSpec& spec_;
  const DType activations_;
  WeightBinder& binder_;
  std::shared_ptr<Stream> stream_;
  std::shared_ptr<const DeviceTensor> table_;  // [table_rows, hidden]
  NormStep norm_;
};

Result<ScoreBias> ScoreBias::load(Engine& engine, const EncoderSpec& spec, DType activations,
                                  WeightBinder& binder) {
  const BiasSpec& from = spec.bias;
  ScoreBias bias;
  bias.kind_ = from.kind;
  bias.reach_ = from.reach;
  if (from.kind == BiasSpec::Kind::kAlibi) {
    auto slopes = binder.upload(from.slopes, {static_cast<int64_t>(from.slopes.size())});
    if (!slopes.is_ok()) return slopes.status();
    bias.by_head_ = slopes.take();
  } else if (from.kind == BiasSpec::Kind::kRelative) {
    auto table = expand_relative(spec, binder);
    if (!table.is_ok()) return table.status();
    bias.by_head_ = table.take();
  } else if (from.kind == BiasSpec::Kind::kDisentangled) {
    auto rows =
        engine.upload({from.rows.data(), DType::kI32, {static_cast<int64_t>(from.rows.size())}}, DType::kI32);
    if (!rows.is_ok()) return rows.status();
    bias.rows_ = rows.take();
    PADLESS_RETURN_IF_ERROR(PositionProjector(engine, spec, activations, binder).run(bias));
  }
  return bias;
}

int64_t ScoreBias::bind_steps(const EncoderSpec& spec) {
  if (spec.bias.kind != BiasSpec::Kind::kDisentangled) return 0;
  return spec.distinct_layers() * (spec.bias.c2p + spec.bias.p2c);
}

AttentionBias ScoreBias::of_layer(int64_t number) const {
  AttentionBias bias;
  bias.reach = reach_;
  switch (kind_) {
    case BiasSpec::Kind::kNone:
      break;
    case BiasSpec::Kind::kAlibi:
      bias.alibi_slopes = by_head_.get();
      break;
    case BiasSpec::Kind::kRelative:
      bias.relative = by_head_.get();
      break;
    case BiasSpec::Kind::kDisentangled:
      bias.position_keys = layers_[number].keys.get();
      bias.position_queries = layers_[number].queries.get();
      bias.relative_rows = rows_.get();
      break;
  }
  return bias;
}

size_t ScoreBias::bytes() const {
  size_t bytes = 0;
  const auto add = [&bytes](const auto&... tensors) { ((bytes += tensors ? tensors->bytes() : 0), ...); };
  add(by_head_, rows_);
  for (const Projections& layer : layers_) add(layer.keys, layer.queries);
  return bytes;
}

}  // namespace padless
