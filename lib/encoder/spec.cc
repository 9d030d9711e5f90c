#include "lib/encoder/spec.h"

#include <cmath>
#include <limits>

namespace padless {

int64_t EncoderSpec::max_length() const {
  return positions.rows == 0 ? std::numeric_limits<int32_t>::max() : positions.rows - positions.offset;
}

namespace {

Status positive(int64_t value, const char* field) {
  PADLESS_CHECK(value > 0 && value <= (int64_t{1} << 31), Code::kBadConfig, field, field, " is ", value,
                "; it must be positive and below 2^31");
  return Status::ok();
}

}  // namespace

Status validate(const EncoderSpec& spec) {
  constexpr int64_t kMostLayers = 1024;
  PADLESS_RETURN_IF_ERROR(positive(spec.hidden_size, "hiddenSize"));
  PADLESS_RETURN_IF_ERROR(positive(spec.intermediate_size, "intermediateSize"));
  PADLESS_RETURN_IF_ERROR(positive(spec.vocab_size, "vocabSize"));
  PADLESS_RETURN_IF_ERROR(positive(spec.attention.heads, "heads"));
  PADLESS_RETURN_IF_ERROR(positive(spec.attention.kv_heads, "kvHeads"));
  PADLESS_RETURN_IF_ERROR(positive(spec.attention.head_dim, "headDim"));
  PADLESS_CHECK(spec.num_layers >= 0 && spec.num_layers <= kMostLayers, Code::kBadConfig, "layers",
                "layers is ", spec.num_layers, "; at most ", kMostLayers, " are accepted");
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
  int64_t width = spec.hidden_size * static_cast<int64_t>(spec.pooling.size());
  for (const HeadStep& step : spec.head) {
    if (step.kind != HeadStep::Kind::kDense) continue;
    PADLESS_CHECK(step.in_features == width && step.out_features > 0, Code::kBadConfig, step.weights,
                  "a dense layer takes ", step.in_features, " features where ", width, " arrive");
    width = step.out_features;
  }
  return Status::ok();
}

}  // namespace padless
