#include "lib/binding/encoder_spec.h"

namespace padless::binding {

Activation read_activation(Reader& reader, Napi::Value value, const char* field) {
  return reader.one_of<Activation>(value, field,
                                   {{"none", Activation::kNone},
                                    {"gelu", Activation::kGeluErf},
                                    {"gelu_tanh", Activation::kGeluTanh},
                                    {"relu", Activation::kRelu},
                                    {"silu", Activation::kSilu},
                                    {"tanh", Activation::kTanh},
                                    {"sigmoid", Activation::kSigmoid}});
}

PoolMode read_pool_mode(Reader& reader, Napi::Value value, const char* field) {
  return reader.one_of<PoolMode>(value, field,
                                 {{"cls", PoolMode::kCls},
                                  {"mean", PoolMode::kMean},
                                  {"max", PoolMode::kMax},
                                  {"lasttoken", PoolMode::kLastToken},
                                  {"weightedmean", PoolMode::kWeightedMean},
                                  {"mean_sqrt_len", PoolMode::kMeanSqrtLength}});
}

namespace {

/** An array, each element an object that `read` takes. */
template <class T>
std::vector<T> read_list(Reader& reader, Napi::Value value, const char* field,
                         T (*read)(Reader&, Napi::Object)) {
  std::vector<T> list;
  if (!value.IsArray()) {
    reader.fail(Status(Code::kInvalidArgument, concat(field, " must be an array"), field));
    return list;
  }
  const Napi::Array array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length() && reader.is_ok(); ++i) {
    list.push_back(read(reader, reader.object(array.Get(i), field)));
  }
  return list;
}

std::vector<double> read_numbers(Reader& reader, Napi::Value value, const char* field) {
  std::vector<double> numbers;
  if (!value.IsArray()) {
    reader.fail(Status(Code::kInvalidArgument, concat(field, " must be an array of numbers"), field));
    return numbers;
  }
  const Napi::Array array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) numbers.push_back(reader.number(array.Get(i), field));
  return numbers;
}

/** -1 for what has no limit or is not there. */
int64_t read_limit(Reader& reader, Napi::Value value, const char* field) {
  return reader.integer(value, field, -1);
}

EmbeddingSpec read_embeddings(Reader& reader, Napi::Object object) {
  EmbeddingSpec spec;
  spec.width = reader.integer(object.Get("width"), "embeddings.width", 1);
  spec.projection = reader.boolean(object.Get("projection"), "embeddings.projection");
  spec.word_scale = static_cast<float>(reader.number(object.Get("wordScale"), "embeddings.wordScale"));
  spec.norm = reader.boolean(object.Get("norm"), "embeddings.norm");
  spec.norm_after_projection =
      reader.boolean(object.Get("normAfterProjection"), "embeddings.normAfterProjection");
  spec.added_rows = reader.integer(object.Get("addedRows"), "embeddings.addedRows");
  return spec;
}

NormSpec read_norm(Reader& reader, Napi::Object object) {
  NormSpec spec;
  spec.kind = reader.one_of<NormKind>(object.Get("kind"), "norm.kind",
                                      {{"layer", NormKind::kLayer}, {"rms", NormKind::kRms}});
  spec.eps = static_cast<float>(reader.number(object.Get("eps"), "norm.eps"));
  spec.placement = reader.one_of<NormPlacement>(
      object.Get("placement"), "norm.placement",
      {{"post", NormPlacement::kPost}, {"pre", NormPlacement::kPre}, {"sandwich", NormPlacement::kSandwich}});
  spec.bias = reader.boolean(object.Get("bias"), "norm.bias");
  spec.gain_minus_one = reader.boolean(object.Get("gainMinusOne"), "norm.gainMinusOne");
  spec.final = reader.boolean(object.Get("final"), "norm.final");
  return spec;
}

MlpSpec read_mlp(Reader& reader, Napi::Object object) {
  MlpSpec spec;
  spec.glu = reader.one_of<bool>(object.Get("kind"), "mlp.kind", {{"plain", false}, {"glu", true}});
  spec.activation = read_activation(reader, object.Get("activation"), "mlp.activation");
  spec.intermediate_size = reader.integer(object.Get("intermediateSize"), "mlp.intermediateSize", 1);
  if (object.Get("experts").IsObject()) {
    const Napi::Object experts = object.Get("experts").As<Napi::Object>();
    spec.experts = reader.integer(experts.Get("count"), "mlp.experts.count", 1);
    spec.chosen = reader.integer(experts.Get("chosen"), "mlp.experts.chosen", 1);
  }
  return spec;
}

RopeSpec read_rope(Reader& reader, Napi::Object object) {
  RopeSpec spec;
  spec.rotary_dim = reader.integer(object.Get("rotaryDim"), "ropes.rotaryDim", 2);
  spec.interleaved = reader.boolean(object.Get("interleaved"), "ropes.interleaved");
  spec.frequencies = read_numbers(reader, object.Get("frequencies"), "ropes.frequencies");
  spec.factor = reader.number(object.Get("factor"), "ropes.factor");
  if (object.Get("beyond").IsUndefined()) return spec;
  const Napi::Object beyond = reader.object(object.Get("beyond"), "ropes.beyond");
  spec.length = reader.integer(beyond.Get("length"), "ropes.beyond.length", 1);
  if (!beyond.Get("frequencies").IsUndefined()) {
    spec.long_frequencies = read_numbers(reader, beyond.Get("frequencies"), "ropes.beyond.frequencies");
    return spec;
  }
  spec.theta = reader.number(beyond.Get("theta"), "ropes.beyond.theta");
  spec.scale = reader.number(beyond.Get("factor"), "ropes.beyond.factor");
  return spec;
}

BiasSpec read_bias(Reader& reader, Napi::Object object) {
  using Kind = BiasSpec::Kind;
  BiasSpec spec;
  spec.kind = reader.one_of<Kind>(
      object.Get("kind"), "bias.kind",
      {{"alibi", Kind::kAlibi}, {"relative", Kind::kRelative}, {"disentangled", Kind::kDisentangled}});
  if (spec.kind == Kind::kAlibi) {
    const std::vector<double> slopes = read_numbers(reader, object.Get("slopes"), "bias.slopes");
    spec.slopes.assign(slopes.begin(), slopes.end());
    return spec;
  }
  spec.table_rows = reader.integer(object.Get("tableRows"), "bias.tableRows", 1);
  spec.reach = reader.integer(object.Get("reach"), "bias.reach");
  const std::span<const int32_t> rows = reader.int32s(object.Get("rows"), "bias.rows");
  spec.rows.assign(rows.begin(), rows.end());
  if (spec.kind == Kind::kRelative) return spec;
  spec.c2p = reader.boolean(object.Get("c2p"), "bias.c2p");
  spec.p2c = reader.boolean(object.Get("p2c"), "bias.p2c");
  spec.shared_projections = reader.boolean(object.Get("sharedProjections"), "bias.sharedProjections");
  spec.norm = reader.boolean(object.Get("norm"), "bias.norm");
  return spec;
}

ConvolutionSpec read_convolution(Reader& reader, Napi::Object object) {
  ConvolutionSpec spec;
  spec.kernel = reader.integer(object.Get("kernel"), "convolution.kernel", 1);
  spec.groups = reader.integer(object.Get("groups"), "convolution.groups", 1);
  spec.activation = read_activation(reader, object.Get("activation"), "convolution.activation");
  return spec;
}

AdapterSpec read_adapters(Reader& reader, Napi::Object object) {
  AdapterSpec spec;
  if (!object.Get("names").IsArray()) {
    reader.fail(Status(Code::kInvalidArgument, "adapters.names must be an array", "adapters.names"));
    return spec;
  }
  spec.count = object.Get("names").As<Napi::Array>().Length();
  spec.rank = reader.integer(object.Get("rank"), "adapters.rank", 1);
  spec.scale = static_cast<float>(reader.number(object.Get("scale"), "adapters.scale"));
  return spec;
}

LayerSpec read_layer(Reader& reader, Napi::Object object) {
  LayerSpec spec;
  spec.weights = reader.integer(object.Get("weights"), "layers.weights");
  spec.span.causal = reader.boolean(object.Get("causal"), "layers.causal");
  spec.span.window_left = read_limit(reader, object.Get("windowLeft"), "layers.windowLeft");
  spec.span.window_right = read_limit(reader, object.Get("windowRight"), "layers.windowRight");
  spec.rope = static_cast<int>(read_limit(reader, object.Get("rope"), "layers.rope"));
  spec.experts = reader.boolean(object.Get("experts"), "layers.experts");
  spec.attention_norm = reader.boolean(object.Get("attentionNorm"), "layers.attentionNorm");
  return spec;
}

HeadStep read_head_step(Reader& reader, Napi::Object object) {
  HeadStep step;
  step.kind = reader.one_of<HeadStep::Kind>(
      object.Get("kind"), "head.kind",
      {{"dense", HeadStep::Kind::kDense}, {"normalize", HeadStep::Kind::kNormalize}});
  if (step.kind == HeadStep::Kind::kNormalize) return step;
  step.weights = reader.string(object.Get("weights"), "head.weights");
  step.in_features = reader.integer(object.Get("inFeatures"), "head.inFeatures", 1);
  step.out_features = reader.integer(object.Get("outFeatures"), "head.outFeatures", 1);
  step.activation = read_activation(reader, object.Get("activation"), "head.activation");
  return step;
}

}  // namespace

std::vector<PoolMode> read_pooling(Reader& reader, Napi::Value value, const char* field) {
  std::vector<PoolMode> modes;
  if (!value.IsArray()) {
    reader.fail(Status(Code::kInvalidArgument, concat(field, " must be an array of pooling modes"), field));
    return modes;
  }
  const Napi::Array array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    modes.push_back(read_pool_mode(reader, array.Get(i), field));
  }
  return modes;
}

EncoderSpec read_spec(Reader& reader, Napi::Object object) {
  EncoderSpec spec;
  spec.hidden_size = reader.integer(object.Get("hiddenSize"), "hiddenSize", 1);
  spec.attention.heads = reader.integer(object.Get("heads"), "heads", 1);
  spec.attention.kv_heads = reader.integer(object.Get("kvHeads"), "kvHeads", 1);
  spec.attention.head_dim = reader.integer(object.Get("headDim"), "headDim", 1);
  spec.attention_scale = static_cast<float>(reader.number(object.Get("attentionScale"), "attentionScale"));
  spec.vocab_size = reader.integer(object.Get("vocabSize"), "vocabSize", 1);
  spec.embeddings = read_embeddings(reader, reader.object(object.Get("embeddings"), "embeddings"));
  const Napi::Object positions = reader.object(object.Get("positions"), "positions");
  spec.positions.rows = reader.integer(positions.Get("rows"), "positions.rows");
  spec.positions.offset = reader.integer(positions.Get("offset"), "positions.offset");
  if (!positions.Get("padId").IsUndefined()) {
    spec.positions.pad_id = reader.integer(positions.Get("padId"), "positions.padId");
  }
  spec.token_types = reader.integer(object.Get("tokenTypes"), "tokenTypes");
  spec.norm = read_norm(reader, reader.object(object.Get("norm"), "norm"));
  spec.query_key_norm = reader.boolean(object.Get("queryKeyNorm"), "queryKeyNorm");
  spec.mlp = read_mlp(reader, reader.object(object.Get("mlp"), "mlp"));
  spec.ropes = read_list<RopeSpec>(reader, object.Get("ropes"), "ropes", read_rope);
  if (object.Get("bias").IsObject()) spec.bias = read_bias(reader, object.Get("bias").As<Napi::Object>());
  if (object.Get("convolution").IsObject()) {
    spec.convolution = read_convolution(reader, object.Get("convolution").As<Napi::Object>());
  }
  if (object.Get("adapters").IsObject()) {
    spec.adapters = read_adapters(reader, object.Get("adapters").As<Napi::Object>());
  }
  spec.layers = read_list<LayerSpec>(reader, object.Get("layers"), "layers", read_layer);
  spec.pooler = reader.boolean(object.Get("pooler"), "pooler");
  spec.pooling = read_pooling(reader, object.Get("pooling"), "pooling");
  if (object.Get("head").IsArray()) {
    spec.head = read_list<HeadStep>(reader, object.Get("head"), "head", read_head_step);
  }
  if (object.Get("projections").IsArray()) {
    spec.projections = read_list<LogitsSpec>(reader, object.Get("projections"), "projections", read_logits);
  }
  if (!object.Get("logits").IsUndefined()) {
    spec.logits = read_logits(reader, reader.object(object.Get("logits"), "logits"));
  }
  spec.compute = reader.one_of<ComputeType>(object.Get("compute"), "dtype",
                                            {{"f32", ComputeType::kF32},
                                             {"bf16", ComputeType::kBF16},
                                             {"f16", ComputeType::kF16},
                                             {"int8", ComputeType::kI8},
                                             {"fp8", ComputeType::kFp8}});
  return spec;
}

}  // namespace padless::binding
