#include "lib/encoder/adapters.h"

#include <string>
#include <utility>

namespace padless {
namespace {

class AdapterBinder {
 public:
  AdapterBinder(const EncoderSpec& spec, WeightBinder& binder, int64_t index)
      : spec_(spec), binder_(binder), prefix_("adapters." + std::to_string(index) + ".") {}

  Result<Adapter> bind() {
    const int64_t hidden = spec_.hidden_size;
    PADLESS_RETURN_IF_ERROR(bind_embeddings());
    adapter_.layers.resize(spec_.layers.size());
    for (const LayerSpec& layer : spec_.layers) {
      LayerAdapter& target = adapter_.layers[layer.weights];
      if (target.qkv.down) continue;
      const std::string name = "layers." + std::to_string(layer.weights) + ".";
      const int64_t query = spec_.query_width();
      const int64_t inner = spec_.mlp.intermediate_size;
      PADLESS_RETURN_IF_ERROR(
          bind_low_rank(name + "attention.qkv", hidden, query + 2 * spec_.key_width(), target.qkv));
      PADLESS_RETURN_IF_ERROR(bind_low_rank(name + "attention.output", query, hidden, target.output));
      PADLESS_RETURN_IF_ERROR(bind_low_rank(name + "mlp.up", hidden, inner, target.up));
      PADLESS_RETURN_IF_ERROR(bind_low_rank(name + "mlp.down", inner, hidden, target.down));
    }
    if (spec_.pooler) PADLESS_RETURN_IF_ERROR(bind_low_rank("pooler", hidden, hidden, adapter_.pooler));
    return std::move(adapter_);
  }

 private:
  /** a [rank, in] and b [out, rank]. */
  Status bind_low_rank(const std::string& name, int64_t in, int64_t out, LowRank& target) {
    const int64_t rank = spec_.adapters.rank;
    const std::string low = prefix_ + name + ".a";
    auto a = binder_.floats(low, {rank, in});
    if (!a.is_ok()) return a.status();
    auto down = binder_.computed_linear(low, a.value(), in, rank);
    if (!down.is_ok()) return down.status();
    target.down = down.take();
    const std::string high = prefix_ + name + ".b";
    auto b = binder_.floats(high, {out, rank});
    if (!b.is_ok()) return b.status();
    for (float& value : b.value()) value *= spec_.adapters.scale;
    auto up = binder_.computed_linear(high, b.value(), rank, out);
    if (!up.is_ok()) return up.status();
    target.up = up.take();
    return Status::ok();
  }

  /** Of a table, a is [rows, rank] and b is [rank, width]. */
  Status bind_embeddings() {
    const int64_t rank = spec_.adapters.rank;
    const int64_t width = spec_.embeddings.width;
    auto word = binder_.table(prefix_ + "embeddings.word.a", spec_.vocab_size, rank);
    if (!word.is_ok()) return word.status();
    adapter_.word = word.take();
    const std::string high = prefix_ + "embeddings.word.b";
    auto b = binder_.floats(high, {rank, width});
    if (!b.is_ok()) return b.status();
    for (float& value : b.value()) value *= spec_.adapters.scale;
    auto up = binder_.computed_linear(high, transposed(b.value(), rank, width), rank, width);
    if (!up.is_ok()) return up.status();
    adapter_.word_up = up.take();
    return spec_.token_types > 0 ? bind_token_types() : Status::ok();
  }

  Status bind_token_types() {
    const int64_t rank = spec_.adapters.rank;
    const int64_t width = spec_.embeddings.width;
    const int64_t types = spec_.token_types;
    auto table = binder_.floats("embeddings.tokenType", {types, width});
    if (!table.is_ok()) return table.status();
    auto a = binder_.floats(prefix_ + "embeddings.tokenType.a", {types, rank});
    if (!a.is_ok()) return a.status();
    auto b = binder_.floats(prefix_ + "embeddings.tokenType.b", {rank, width});
    if (!b.is_ok()) return b.status();
    for (int64_t t = 0; t < types; ++t) {
      for (int64_t c = 0; c < width; ++c) {
        double sum = 0;
        for (int64_t r = 0; r < rank; ++r) sum += a.value()[t * rank + r] * double{b.value()[r * width + c]};
        table.value()[t * width + c] += static_cast<float>(spec_.adapters.scale * sum);
      }
    }
    auto uploaded = binder_.upload(table.value(), {types, width});
    if (!uploaded.is_ok()) return uploaded.status();
    adapter_.token_type = uploaded.take();
    return Status::ok();
  }

  const EncoderSpec& spec_;
  WeightBinder& binder_;
  const std::string prefix_;
  Adapter adapter_;
};

}  // namespace

size_t Adapter::bytes() const {
  size_t bytes = 0;
  const auto add = [&bytes](const auto&... weights) { ((bytes += weights ? weights->bytes() : 0), ...); };
  add(word, word_up, token_type, pooler.down, pooler.up);
  for (const LayerAdapter& layer : layers) {
    for (const LowRank* pair : {&layer.qkv, &layer.output, &layer.up, &layer.down}) add(pair->down, pair->up);
  }
  return bytes;
}

int64_t adapter_bind_steps(const EncoderSpec& spec) {
  constexpr int64_t kProductsOfLayer = 8, kProductsOfEmbeddings = 2, kProductsOfPooler = 2;
  return spec.adapters.count * (kProductsOfEmbeddings + kProductsOfLayer * spec.distinct_layers() +
                                kProductsOfPooler * spec.pooler);
}

Result<std::vector<Adapter>> bind_adapters(const EncoderSpec& spec, WeightBinder& binder) {
  std::vector<Adapter> adapters;
  for (int64_t i = 0; i < spec.adapters.count; ++i) {
    Result<Adapter> adapter = AdapterBinder(spec, binder, i).bind();
    if (!adapter.is_ok()) return adapter.status();
    adapters.push_back(adapter.take());
  }
  return adapters;
}

}  // namespace padless
