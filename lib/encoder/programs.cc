#include "lib/encoder/programs.h"

namespace padless {
namespace {

/** Writes the steps of one program; `x` is the residual stream. */
class LayerWriter {
 public:
  LayerWriter(const EncoderSpec& spec, const EncoderWeights& weights, const Adapter* adapter)
      : spec_(spec), weights_(weights), adapter_(adapter), x_(program_.bound(kHidden, spec.hidden_size)) {}

  RowProgram take() { return std::move(program_); }

  /** From the tables' rows to the residual stream. */
  void start_encoder() {
    if (adapter_) {
      const Slot low = program_.bound(kAdapted, spec_.adapters.rank);
      program_.steps.push_back(LinearStep{adapter_->word_up, low, x_, x_});
      norm(weights_.embedding_norm, x_, x_);
    }
    if (!weights_.projection) return;
    const Slot tables = program_.bound(kEmbedding, spec_.embeddings.width);
    program_.steps.push_back(LinearStep{weights_.projection, tables, x_});
    if (spec_.embeddings.norm_after_projection) norm(weights_.embedding_norm, x_, x_);
  }

  /** From the context of attention `index` to the layer's result. */
  void finish_layer(int64_t index) {
    const int64_t number = spec_.layers[index].weights;
    const LayerWeights& layer = weights_.layers[number];
    switch (spec_.norm.placement) {
      case NormPlacement::kPost:
        finish_post_norm(layer, additions(number));
        break;
      case NormPlacement::kPre:
        finish_pre_norm(layer, additions(number));
        break;
      case NormPlacement::kSandwich:
        finish_sandwich(layer, additions(number));
        break;
    }
    if (index == 0 && weights_.convolution) {
      const Slot convolved = program_.bound(kConvolved, spec_.hidden_size);
      norm(weights_.convolution_norm, x_, x_).residual = convolved;
    }
  }

  /** The layer's queries, keys and values, ready for its attention. */
  void start_layer(int64_t index) {
    const LayerSpec& spec = spec_.layers[index];
    const LayerWeights& layer = weights_.layers[spec.weights];
    const int64_t query = spec_.query_width();
    const int64_t key = spec_.key_width();
    const Slot qkv = program_.bound(kQkv, query + 2 * key);
    Slot in = x_;
    if (spec_.norm.placement != NormPlacement::kPost && spec.attention_norm) {
      in = program_.temporary(spec_.hidden_size);
      norm(layer.attention_norm, x_, in);
    }
    product(layer.qkv, additions(spec.weights).qkv, in, qkv);
    program_.next = layer.output;
    const auto& [heads, kv_heads, head_dim] = spec_.attention;
    if (spec_.query_key_norm) {
      program_.steps.push_back(HeadNormStep{layer.query_gamma, spec_.norm.eps, qkv, 0, heads, head_dim});
      program_.steps.push_back(HeadNormStep{layer.key_gamma, spec_.norm.eps, qkv, query, kv_heads, head_dim});
    }
    if (spec.rope >= 0) {
      const RopeSpec& rope = spec_.ropes[spec.rope];
      const Slot table = program_.bound(kRope + spec.rope, rope.rotary_dim);
      // Keys follow queries: one step turns both.
      program_.steps.push_back(
          RopeStep{qkv, table, 0, heads + kv_heads, head_dim, rope.rotary_dim, rope.interleaved});
    }
  }

  void finish_encoder() {
    if (spec_.norm.final) norm(weights_.final_norm, x_, x_);
  }

 private:
  NormStep& norm(const NormWeights& weights, Slot in, Slot out) {
    program_.steps.push_back(NormStep{spec_.norm.kind, weights.gamma, weights.beta, spec_.norm.eps, in, out});
    return std::get<NormStep>(program_.steps.back());
  }

  LayerAdapter additions(int64_t number) const {
    return adapter_ ? adapter_->layers[number] : LayerAdapter{};
  }

  /** out = activation(weight(in) + low(in)) + residual; with both low and an activation there is no residual.
   */
  void product(const std::shared_ptr<const LinearWeight>& weight, const LowRank& low, Slot in, Slot out,
               Slot residual = kNoSlot, Activation activation = Activation::kNone) {
    if (!low.down) {
      program_.steps.push_back(LinearStep{weight, in, out, residual, activation});
      return;
    }
    const Slot inner = program_.temporary(spec_.adapters.rank);
    const Slot added = program_.temporary(weight->out_features());
    program_.steps.push_back(LinearStep{low.down, in, inner});
    program_.steps.push_back(LinearStep{low.up, inner, added, residual});
    program_.steps.push_back(LinearStep{weight, in, out, added, activation, activation != Activation::kNone});
  }

  Slot context() { return program_.bound(kContext, spec_.query_width()); }

  /** out = down(mlp(in)) + residual. */
  void feed_forward(const LayerWeights& layer, const LayerAdapter& low, Slot in, Slot out, Slot residual) {
    if (layer.router) {
      program_.steps.push_back(ExpertsStep{layer.router, layer.experts, spec_.mlp.chosen,
                                           spec_.mlp.activation, layer.experts_bias, in, out, residual});
      return;
    }
    const Slot inner = program_.temporary(spec_.mlp.intermediate_size);
    product(layer.up, low.up, in, inner, kNoSlot, spec_.mlp.activation);
    product(layer.down, low.down, inner, out, residual);
  }

  /** y = norm(x + output(context)); x' = norm(y + mlp(y)): arXiv:1706.03762, BERT. */
  void finish_post_norm(const LayerWeights& layer, const LayerAdapter& low) {
    // Experts read it from outside a block.
    const Slot y =
        layer.router ? program_.bound(kMixed, spec_.hidden_size) : program_.temporary(spec_.hidden_size);
    product(layer.output, low.output, context(), y, x_);
    norm(layer.attention_norm, y, y);
    feed_forward(layer, low, y, x_, y);
    norm(layer.mlp_norm, x_, x_);
  }

  /** y = x + output(context); x' = y + mlp(norm(y)): arXiv:2002.04745, ModernBERT, Qwen3. */
  void finish_pre_norm(const LayerWeights& layer, const LayerAdapter& low) {
    const Slot y = program_.temporary(spec_.hidden_size);
    product(layer.output, low.output, context(), x_, x_);
    norm(layer.mlp_norm, x_, y);
    feed_forward(layer, low, y, x_, x_);
  }

  /** y = x + norm(output(context)); x' = y + norm(mlp(norm(y))): Gemma 2 and 3 (arXiv:2408.00118). */
  void finish_sandwich(const LayerWeights& layer, const LayerAdapter& low) {
    const Slot y = program_.temporary(spec_.hidden_size);
    product(layer.output, low.output, context(), y);
    norm(layer.attention_result, y, x_).add = x_;
    norm(layer.mlp_norm, x_, y);
    const Slot result = program_.temporary(spec_.hidden_size);
    feed_forward(layer, low, y, result, kNoSlot);
    norm(layer.mlp_result, result, x_).add = x_;
  }

  const EncoderSpec& spec_;
  const EncoderWeights& weights_;
  const Adapter* const adapter_;
  RowProgram program_;
  const Slot x_;
};

}  // namespace

LayerPrograms build_programs(const EncoderSpec& spec, const EncoderWeights& weights, const Adapter* adapter) {
  LayerPrograms programs;
  for (int64_t i = 0; i <= spec.num_layers(); ++i) {
    for (const bool ends : {false, true}) {
      LayerWriter writer(spec, weights, adapter);
      i == 0 ? writer.start_encoder() : writer.finish_layer(i - 1);
      if (ends) {
        writer.finish_encoder();
        programs.last.push_back(writer.take());
      } else if (i < spec.num_layers()) {
        writer.start_layer(i);
        programs.between.push_back(writer.take());
      }
    }
  }
  if (weights.convolution) {
    RowProgram& program = programs.convolution;
    const Slot window = program.bound(kWindow, spec.convolution.kernel * spec.hidden_size);
    const Slot out = program.bound(kConvolved, spec.hidden_size);
    program.steps.push_back(
        LinearStep{weights.convolution, window, out, kNoSlot, spec.convolution.activation});
  }
  return programs;
}

}  // namespace padless
