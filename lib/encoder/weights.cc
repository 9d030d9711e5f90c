#include "lib/encoder/weights.h"

#include <algorithm>
#include <string>
#include <utility>

#include "lib/encoder/convolution.h"

namespace padless {
namespace {

template <class T>
Status assign(T& target, Result<T> result) {
  if (!result.is_ok()) return result.status();
  target = result.take();
  return Status::ok();
}

class EncoderBinder {
 public:
  EncoderBinder(const EncoderSpec& spec, WeightBinder& binder) : spec_(spec), binder_(binder) {}

  Result<EncoderWeights> bind() {
    PADLESS_RETURN_IF_ERROR(bind_embeddings());
    weights_.layers.resize(spec_.layers.size());
    for (const LayerSpec& layer : spec_.layers) {
      LayerWeights& target = weights_.layers[layer.weights];
      if (!target.qkv) PADLESS_RETURN_IF_ERROR(bind_layer(layer, target));
      // Layers that share tensors may still differ in whether the first norm counts.
      if (layer.attention_norm && !target.attention_norm.gamma) {
        const std::string name = "layers." + std::to_string(layer.weights) + ".attention.norm";
        PADLESS_RETURN_IF_ERROR(bind_norm(name, spec_.hidden_size, target.attention_norm));
      }
    }
    if (spec_.convolution.kernel > 0) {
      PADLESS_RETURN_IF_ERROR(assign(weights_.convolution, bind_convolution(spec_, binder_)));
      PADLESS_RETURN_IF_ERROR(bind_norm("convolution.norm", spec_.hidden_size, weights_.convolution_norm));
    }
    if (spec_.norm.final) {
      PADLESS_RETURN_IF_ERROR(bind_norm("norm", spec_.hidden_size, weights_.final_norm));
    }
    return std::move(weights_);
  }

 private:
  Status bind_embeddings() {
    const int64_t width = spec_.embeddings.width;
    PADLESS_RETURN_IF_ERROR(assign(weights_.word, binder_.table("embeddings.word", spec_.vocab_size, width)));
    if (spec_.positions.rows > 0) {
      PADLESS_RETURN_IF_ERROR(
          assign(weights_.position, binder_.table("embeddings.position", spec_.positions.rows, width)));
    }
    if (spec_.embeddings.added_rows > 0) {
      PADLESS_RETURN_IF_ERROR(assign(weights_.token_type, bind_types_and_added_row()));
    } else if (spec_.token_types > 0) {
      PADLESS_RETURN_IF_ERROR(
          assign(weights_.token_type, binder_.table("embeddings.tokenType", spec_.token_types, width)));
    }
    if (spec_.embeddings.norm) {
      const int64_t normed = spec_.embeddings.norm_after_projection ? spec_.hidden_size : width;
      PADLESS_RETURN_IF_ERROR(bind_norm("embeddings.norm", normed, weights_.embedding_norm));
    }
    if (!spec_.embeddings.projection) return Status::ok();
    return assign(weights_.projection, binder_.linear({"embeddings.projection"}, width, {spec_.hidden_size}));
  }

  /** The token-type table (one row of zeros without it), row 0 of the added table on every row. */
  Result<std::shared_ptr<const DeviceTensor>> bind_types_and_added_row() {
    const int64_t width = spec_.embeddings.width;
    const int64_t types = std::max<int64_t>(1, spec_.token_types);
    auto added = binder_.floats("embeddings.added", {spec_.embeddings.added_rows, width});
    if (!added.is_ok()) return added.status();
    std::vector<float> sum(static_cast<size_t>(types * width), 0.f);
    if (spec_.token_types > 0) {
      PADLESS_RETURN_IF_ERROR(assign(sum, binder_.floats("embeddings.tokenType", {types, width})));
    }
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += added.value()[i % static_cast<size_t>(width)];
    return binder_.upload(sum, {types, width});
  }

  Status bind_norm(const std::string& name, int64_t size, NormWeights& norm) {
    PADLESS_RETURN_IF_ERROR(assign(norm.gamma, binder_.vector(name + ".gamma", size, gain_offset())));
    if (!spec_.norm.bias) return binder_.check_absent(name + ".beta");
    return assign(norm.beta, binder_.vector(name + ".beta", size));
  }

  float gain_offset() const { return spec_.norm.gain_minus_one ? 1.f : 0.f; }

  /** Every expert's products, stored as up [inner, hidden] and down^T [inner, hidden]; a router without bias.
   */
  Status bind_experts(const std::string& mlp, LayerWeights& layer) {
    const int64_t hidden = spec_.hidden_size;
    const int64_t inner = spec_.mlp.intermediate_size;
    PADLESS_RETURN_IF_ERROR(
        assign(layer.router, binder_.exact().linear({mlp + "router"}, hidden, {spec_.mlp.experts})));
    for (int64_t e = 0; e < spec_.mlp.experts; ++e) {
      const std::string name = mlp + "experts." + std::to_string(e);
      Expert& expert = layer.experts.emplace_back();
      PADLESS_RETURN_IF_ERROR(assign(expert.up, binder_.linear({name + ".up"}, hidden, {inner})));
      const std::string stored = name + ".downTransposed";
      auto rows = binder_.floats(stored, {inner, hidden});
      if (!rows.is_ok()) return rows.status();
      PADLESS_RETURN_IF_ERROR(
          assign(expert.down,
                 binder_.computed_linear(stored, transposed(rows.value(), inner, hidden), inner, hidden)));
    }
    return assign(layer.experts_bias, binder_.vector(mlp + "experts.bias", hidden));
  }

  Status bind_feed_forward(const std::string& mlp, LayerWeights& layer) {
    const int64_t hidden = spec_.hidden_size;
    const int64_t inner = spec_.mlp.intermediate_size;
    PADLESS_RETURN_IF_ERROR(assign(layer.up, spec_.mlp.glu
                                                 ? binder_.glu(mlp + "gate", mlp + "up", hidden, inner)
                                                 : binder_.linear({mlp + "up"}, hidden, {inner})));
    return assign(layer.down, binder_.linear({mlp + "down"}, inner, {hidden}));
  }

  Status bind_layer(const LayerSpec& spec, LayerWeights& layer) {
    const int64_t hidden = spec_.hidden_size;
    const int64_t query = spec_.query_width();
    const int64_t key = spec_.key_width();
    const std::string prefix = "layers." + std::to_string(spec.weights) + ".";
    const std::string attention = prefix + "attention.";
    const std::string mlp = prefix + "mlp.";
    PADLESS_RETURN_IF_ERROR(
        assign(layer.qkv, binder_.linear({attention + "query", attention + "key", attention + "value"},
                                         hidden, {query, key, key})));
    PADLESS_RETURN_IF_ERROR(assign(layer.output, binder_.linear({attention + "output"}, query, {hidden})));
    PADLESS_RETURN_IF_ERROR(spec.experts ? bind_experts(mlp, layer) : bind_feed_forward(mlp, layer));
    PADLESS_RETURN_IF_ERROR(bind_norm(mlp + "norm", hidden, layer.mlp_norm));
    if (spec_.norm.placement == NormPlacement::kSandwich) {
      PADLESS_RETURN_IF_ERROR(bind_norm(attention + "resultNorm", hidden, layer.attention_result));
      PADLESS_RETURN_IF_ERROR(bind_norm(mlp + "resultNorm", hidden, layer.mlp_result));
    }
    if (!spec_.query_key_norm) return Status::ok();
    const int64_t head = spec_.attention.head_dim;
    PADLESS_RETURN_IF_ERROR(
        assign(layer.query_gamma, binder_.vector(attention + "queryNorm.gamma", head, gain_offset())));
    return assign(layer.key_gamma, binder_.vector(attention + "keyNorm.gamma", head, gain_offset()));
  }

  const EncoderSpec& spec_;
  WeightBinder& binder_;
  EncoderWeights weights_;
};

}  // namespace

size_t EncoderWeights::bytes() const {
  size_t bytes = 0;
  const auto add = [&bytes](const auto&... weights) { ((bytes += weights ? weights->bytes() : 0), ...); };
  add(word, position, token_type, projection, convolution);
  const auto add_norm = [&add](const NormWeights& norm) { add(norm.gamma, norm.beta); };
  for (const NormWeights* norm : {&embedding_norm, &final_norm, &convolution_norm}) add_norm(*norm);
  for (const Adapter& adapter : adapters) bytes += adapter.bytes();
  for (const LayerWeights& layer : layers) {
    add(layer.qkv, layer.output, layer.up, layer.down, layer.query_gamma, layer.key_gamma);
    add(layer.router, layer.experts_bias);
    for (const Expert& expert : layer.experts) add(expert.up, expert.down);
    for (const NormWeights* norm :
         {&layer.attention_norm, &layer.mlp_norm, &layer.attention_result, &layer.mlp_result}) {
      add_norm(*norm);
    }
  }
  return bytes;
}

int64_t bind_steps(const EncoderSpec& spec) {
  constexpr int64_t kProductsOfLayer = 4;
  const int64_t with_experts = std::count_if(spec.layers.begin(), spec.layers.end(),
                                             [](const LayerSpec& layer) { return layer.experts; });
  const int64_t products_of_experts = with_experts * (2 * spec.mlp.experts - 1);
  const bool has_types = spec.token_types > 0 && spec.embeddings.added_rows == 0;
  return 1 + (spec.positions.rows > 0) + has_types + spec.embeddings.projection +
         (spec.convolution.kernel > 0) + kProductsOfLayer * spec.distinct_layers() + products_of_experts;
}

Result<EncoderWeights> bind_weights(const EncoderSpec& spec, WeightBinder& binder) {
  return EncoderBinder(spec, binder).bind();
}

}  // namespace padless
