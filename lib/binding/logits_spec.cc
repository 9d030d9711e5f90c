#include "lib/binding/encoder_spec.h"

namespace padless::binding {
namespace {

LogitsStep read_step(Reader& reader, Napi::Value value) {
  const Napi::Object object = reader.object(value, "logits.steps");
  LogitsStep step;
  step.kind = reader.one_of<LogitsStep::Kind>(object.Get("kind"), "logits.kind",
                                              {{"dense", LogitsStep::Kind::kDense},
                                               {"norm", LogitsStep::Kind::kNorm},
                                               {"normalize", LogitsStep::Kind::kL2Normalize}});
  if (step.kind != LogitsStep::Kind::kL2Normalize) {
    step.weights = reader.string(object.Get("weights"), "logits.weights");
  }
  step.in_features = reader.integer(object.Get("inFeatures"), "logits.inFeatures", 1);
  step.out_features = reader.integer(object.Get("outFeatures"), "logits.outFeatures", 1);
  if (step.kind == LogitsStep::Kind::kL2Normalize) return step;
  if (step.kind == LogitsStep::Kind::kNorm) {
    step.eps = static_cast<float>(reader.number(object.Get("eps"), "logits.eps"));
    return step;
  }
  step.activation = read_activation(reader, object.Get("activation"), "logits.activation");
  if (object.Get("rows").IsUndefined()) return step;
  const std::span<const int32_t> rows = reader.int32s(object.Get("rows"), "logits.rows");
  step.rows.assign(rows.begin(), rows.end());
  step.stored_features = reader.integer(object.Get("storedFeatures"), "logits.storedFeatures", 1);
  return step;
}

}  // namespace

LogitsSpec read_logits(Reader& reader, Napi::Object object) {
  LogitsSpec spec;
  if (reader.string(object.Get("from"), "logits.from") != "tokens") {
    spec.source = LogitsSpec::Source::kPooled;
    spec.pooling = read_pool_mode(reader, object.Get("from"), "logits.from");
  }
  if (!object.Get("skipId").IsUndefined()) {
    spec.skip_id = static_cast<int32_t>(reader.integer(object.Get("skipId"), "logits.skipId"));
  }
  spec.mean = reader.boolean(object.Get("mean"), "logits.mean");
  if (!object.Get("steps").IsArray()) {
    reader.fail(Status(Code::kInvalidArgument, "logits.steps must be an array", "logits.steps"));
    return spec;
  }
  const Napi::Array steps = object.Get("steps").As<Napi::Array>();
  for (uint32_t i = 0; i < steps.Length(); ++i) spec.steps.push_back(read_step(reader, steps.Get(i)));
  return spec;
}

}  // namespace padless::binding
