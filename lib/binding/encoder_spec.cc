#include "lib/binding/encoder_spec.h"

namespace padless::binding {
namespace {

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

HeadStep read_head_step(Reader& reader, Napi::Value value) {
  const Napi::Object object = reader.object(value, "head");
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
    modes.push_back(reader.one_of<PoolMode>(array.Get(i), field,
                                            {{"cls", PoolMode::kCls},
                                             {"mean", PoolMode::kMean},
                                             {"max", PoolMode::kMax},
                                             {"lasttoken", PoolMode::kLastToken},
                                             {"weightedmean", PoolMode::kWeightedMean},
                                             {"mean_sqrt_len", PoolMode::kMeanSqrtLength}}));
  }
  return modes;
}

EncoderSpec read_spec(Reader& reader, Napi::Object object) {
  EncoderSpec spec;
  spec.hidden_size = reader.integer(object.Get("hiddenSize"), "hiddenSize", 1);
  spec.num_layers = reader.integer(object.Get("layers"), "layers");
  spec.attention.heads = reader.integer(object.Get("heads"), "heads", 1);
  spec.attention.kv_heads = reader.integer(object.Get("kvHeads"), "kvHeads", 1);
  spec.attention.head_dim = reader.integer(object.Get("headDim"), "headDim", 1);
  spec.attention_scale = static_cast<float>(reader.number(object.Get("attentionScale"), "attentionScale"));
  spec.intermediate_size = reader.integer(object.Get("intermediateSize"), "intermediateSize", 1);
  spec.activation = read_activation(reader, object.Get("activation"), "activation");
  spec.vocab_size = reader.integer(object.Get("vocabSize"), "vocabSize", 1);
  const Napi::Object positions = reader.object(object.Get("positions"), "positions");
  spec.positions.rows = reader.integer(positions.Get("rows"), "positions.rows");
  spec.positions.offset = reader.integer(positions.Get("offset"), "positions.offset");
  if (!positions.Get("padId").IsUndefined()) {
    spec.positions.pad_id = reader.integer(positions.Get("padId"), "positions.padId");
  }
  spec.token_types = reader.integer(object.Get("tokenTypes"), "tokenTypes");
  const Napi::Object norm = reader.object(object.Get("norm"), "norm");
  spec.norm.kind = reader.one_of<NormKind>(norm.Get("kind"), "norm.kind",
                                           {{"layer", NormKind::kLayer}, {"rms", NormKind::kRms}});
  spec.norm.eps = static_cast<float>(reader.number(norm.Get("eps"), "norm.eps"));
  spec.pooler = reader.boolean(object.Get("pooler"), "pooler");
  spec.pooling = read_pooling(reader, object.Get("pooling"), "pooling");
  if (object.Get("head").IsArray()) {
    const Napi::Array head = object.Get("head").As<Napi::Array>();
    for (uint32_t i = 0; i < head.Length(); ++i) spec.head.push_back(read_head_step(reader, head.Get(i)));
  }
  spec.compute = reader.one_of<ComputeType>(object.Get("compute"), "dtype",
                                            {{"f32", ComputeType::kF32},
                                             {"bf16", ComputeType::kBF16},
                                             {"f16", ComputeType::kF16},
                                             {"int8", ComputeType::kI8}});
  return spec;
}

}  // namespace padless::binding
