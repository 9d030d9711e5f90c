#include "lib/encoder/spec.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

namespace padless {

int64_t EncoderSpec::max_length() const {
  return positions.rows == 0 ? std::numeric_limits<int32_t>::max() : positions.rows - positions.offset;
}

bool EncoderSpec::counts_distances() const {
  return bias.kind != BiasSpec::Kind::kNone || convolution.kernel > 0 ||
         std::any_of(layers.begin(), layers.end(), [](const LayerSpec& layer) {
           return layer.span.window_left >= 0 || layer.span.window_right >= 0;
         });
}

int64_t EncoderSpec::distinct_layers() const {
  std::set<int64_t> used;
  for (const LayerSpec& layer : layers) used.insert(layer.weights);
  return static_cast<int64_t>(used.size());
}

namespace {

Status positive(int64_t value, const char* field) {
  PADLESS_CHECK(value > 0 && value <= (int64_t{1} << 31), Code::kBadConfig, field, field, " is ", value,
                "; it must be positive and below 2^31");
  return Status::ok();
}

Status check_rope(const RopeSpec& rope, int64_t head_dim) {
  const auto pairs = static_cast<size_t>(rope.rotary_dim / 2);
  PADLESS_CHECK(rope.rotary_dim > 0 && rope.rotary_dim % 2 == 0 && rope.rotary_dim <= head_dim &&
                    rope.frequencies.size() == pairs &&
                    (rope.long_frequencies.empty() || rope.long_frequencies.size() == pairs),
                Code::kBadConfig, "ropes", "rope turns ", rope.rotary_dim, " columns by ",
                rope.frequencies.size(), " frequencies in heads of ", head_dim);
  const bool dynamic = rope.length > 0 && rope.long_frequencies.empty();
  PADLESS_CHECK(!dynamic || (rope.rotary_dim > 2 && rope.theta > 0 && rope.scale >= 1), Code::kBadConfig,
                "ropes", "dynamic rope of theta ", rope.theta, " and factor ", rope.scale);
  return Status::ok();
}

Status check_bias(const EncoderSpec& spec) {
  const BiasSpec& bias = spec.bias;
  if (bias.kind == BiasSpec::Kind::kNone) return Status::ok();
  if (bias.kind == BiasSpec::Kind::kAlibi) {
    PADLESS_CHECK(static_cast<int64_t>(bias.slopes.size()) == spec.attention.heads, Code::kBadConfig,
                  "bias.slopes", bias.slopes.size(), " slopes for ", spec.attention.heads, " heads");
    return Status::ok();
  }
  constexpr int64_t kMostReach = 1 << 24;
  PADLESS_CHECK(bias.reach >= 0 && bias.reach <= kMostReach &&
                    static_cast<int64_t>(bias.rows.size()) == 2 * bias.reach + 1,
                Code::kBadConfig, "bias.rows", bias.rows.size(), " rows for a reach of ", bias.reach);
  for (const int32_t row : bias.rows) {
    PADLESS_CHECK(row >= 0 && row < bias.table_rows, Code::kBadConfig, "bias.rows", "row ", row,
                  " of a table of ", bias.table_rows);
  }
  return Status::ok();
}

}  // namespace

Status validate(const EncoderSpec& spec) {
  constexpr int64_t kMostLayers = 1024;
  PADLESS_RETURN_IF_ERROR(positive(spec.hidden_size, "hiddenSize"));
  PADLESS_RETURN_IF_ERROR(positive(spec.mlp.intermediate_size, "intermediateSize"));
  PADLESS_RETURN_IF_ERROR(positive(spec.vocab_size, "vocabSize"));
  PADLESS_RETURN_IF_ERROR(positive(spec.attention.heads, "heads"));
  PADLESS_RETURN_IF_ERROR(positive(spec.attention.kv_heads, "kvHeads"));
  PADLESS_RETURN_IF_ERROR(positive(spec.attention.head_dim, "headDim"));
  PADLESS_RETURN_IF_ERROR(positive(spec.embeddings.width, "embeddings.width"));
  PADLESS_CHECK(spec.num_layers() <= kMostLayers, Code::kBadConfig, "layers", "there are ", spec.num_layers(),
                " layers; at most ", kMostLayers, " are accepted");
  PADLESS_CHECK(spec.attention.heads % spec.attention.kv_heads == 0, Code::kBadConfig, "kvHeads",
                spec.attention.heads, " heads cannot share ", spec.attention.kv_heads,
                " key/value heads evenly");
  PADLESS_CHECK(std::isfinite(spec.attention_scale) && spec.attention_scale > 0, Code::kBadConfig,
                "attentionScale", "attentionScale must be a positive number");
  PADLESS_CHECK(std::isfinite(spec.norm.eps) && spec.norm.eps >= 0, Code::kBadConfig, "eps",
                "eps must be a number of at least 0");
  PADLESS_CHECK(spec.positions.rows >= 0 && spec.positions.offset >= 0 &&
                    (spec.positions.rows == 0 || spec.positions.offset < spec.positions.rows),
                Code::kBadConfig, "positions", "the position table of ", spec.positions.rows,
                " rows has none for offset ", spec.positions.offset);
  PADLESS_CHECK(spec.embeddings.projection || spec.embeddings.width == spec.hidden_size, Code::kBadConfig,
                "embeddings.width", "embeddings of width ", spec.embeddings.width, " for a hidden size of ",
                spec.hidden_size, " need a projection");
  constexpr int64_t kMostExperts = 1024;
  const MlpSpec& mlp = spec.mlp;
  PADLESS_CHECK(mlp.experts == 0 || (mlp.experts > 0 && mlp.experts <= kMostExperts && mlp.chosen > 0 &&
                                     mlp.chosen <= mlp.experts && !mlp.glu && spec.adapters.count == 0 &&
                                     spec.norm.placement == NormPlacement::kPost),
                Code::kBadConfig, "mlp.experts", mlp.chosen, " of ", mlp.experts,
                " experts do not fit this kind of encoder");
  for (const LayerSpec& layer : spec.layers) {
    PADLESS_CHECK(!layer.experts || mlp.experts > 0, Code::kBadConfig, "layers.experts",
                  "a layer has experts, the model none");
    PADLESS_CHECK(layer.weights >= 0 && layer.weights < spec.num_layers(), Code::kBadConfig, "layers.weights",
                  "a layer has the tensors of layer ", layer.weights, " of ", spec.num_layers());
    PADLESS_CHECK(layer.rope >= -1 && layer.rope < static_cast<int64_t>(spec.ropes.size()), Code::kBadConfig,
                  "layers.rope", "a layer has rope ", layer.rope, " of ", spec.ropes.size());
  }
  PADLESS_CHECK(
      !spec.embeddings.norm_after_projection || (spec.embeddings.projection && spec.embeddings.norm),
      Code::kBadConfig, "embeddings.normAfterProjection", "there is no projection or no norm");
  for (const RopeSpec& rope : spec.ropes) PADLESS_RETURN_IF_ERROR(check_rope(rope, spec.attention.head_dim));
  PADLESS_RETURN_IF_ERROR(check_bias(spec));
  PADLESS_CHECK(spec.convolution.kernel == 0 ||
                    (spec.convolution.kernel % 2 == 1 && spec.convolution.groups > 0 &&
                     spec.hidden_size % spec.convolution.groups == 0 && spec.num_layers() > 0),
                Code::kBadConfig, "convolution", "a convolution of kernel ", spec.convolution.kernel, " in ",
                spec.convolution.groups, " groups does not fit the hidden size ", spec.hidden_size);
  const AdapterSpec& adapters = spec.adapters;
  constexpr int64_t kMostAdapters = 1024;
  PADLESS_CHECK(
      adapters.count == 0 || (adapters.count > 0 && adapters.count <= kMostAdapters && adapters.rank > 0 &&
                              std::isfinite(adapters.scale) && spec.norm.placement == NormPlacement::kPost &&
                              !spec.mlp.glu && spec.embeddings.norm && !spec.embeddings.projection),
      Code::kBadConfig, "adapters", adapters.count, " adapters of rank ", adapters.rank,
      " do not fit this kind of encoder");
  int64_t width = spec.hidden_size * static_cast<int64_t>(spec.pooling.size());
  for (const HeadStep& step : spec.head) {
    if (step.kind != HeadStep::Kind::kDense) continue;
    PADLESS_CHECK(step.in_features == width && step.out_features > 0, Code::kBadConfig, step.weights,
                  "a dense layer takes ", step.in_features, " features where ", width, " arrive");
    width = step.out_features;
  }
  for (const LogitsSpec& projection : spec.projections) {
    PADLESS_RETURN_IF_ERROR(validate(projection, spec.hidden_size));
    PADLESS_CHECK(projection.per_token(), Code::kBadConfig, "projections", "a projection must be of tokens");
  }
  if (spec.logits) return validate(*spec.logits, spec.hidden_size);
  return Status::ok();
}

}  // namespace padless
