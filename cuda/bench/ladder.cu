// Experiment E2: one encoder layer, in steps from padded cuBLASLt with unfused passes to this library's
// packed and fused kernels. FLOPs are those of real tokens on every rung, so that TFLOP/s compare.
#include <numeric>
#include <optional>

#include "cuda/bench/setting.h"
#include "cuda/bench/unfused.h"
#include "cuda/platform.cuh"

namespace padless::cuda::bench {
namespace {

struct Rung {
  const char* name;
  bool fused_norm, fused_epilogue, unpadded, fused_attention;
};
constexpr Rung kRungs[] = {
    {"padded, cuBLASLt, unfused", false, false, false, false},
    {"+ bias, residual and norm fused", true, false, false, false},
    {"+ bias and GELU in the GEMM", true, true, false, false},
    {"+ unpadded", true, true, true, false},
    {"+ fused attention", true, true, true, true},
};

/** The buffers of a layer, large enough for the padded rungs, and everything planned. */
class Layer {
 public:
  Layer(Setting& setting, const Rung& rung) : setting_(setting), rung_(rung), s_(setting.options().shape) {}

  Status prepare() {
    batch_ = static_cast<int64_t>(setting_.lengths().size());
    length_ = (setting_.options().max_length + 7) / 8 * 8;  // of the padded rungs
    padded_ = batch_ * length_;
    rows_ = rung_.unpadded ? setting_.tokens() : padded_;
    const int64_t h = s_.hidden;
    PADLESS_RETURN_IF_ERROR(take(x_, rows_, h));
    PADLESS_RETURN_IF_ERROR(take(qkv_, rows_, 3 * h));
    PADLESS_RETURN_IF_ERROR(take(padded_qkv_, padded_, 3 * h));
    PADLESS_RETURN_IF_ERROR(take(padded_context_, padded_, h));
    PADLESS_RETURN_IF_ERROR(take(context_, rows_, h));
    PADLESS_RETURN_IF_ERROR(take(middle_, rows_, s_.mlp));
    PADLESS_RETURN_IF_ERROR(take(out_, rows_, h));
    PADLESS_RETURN_IF_ERROR(take(scores_, s_.heads * length_, length_));
    PADLESS_RETURN_IF_ERROR(take(w_qkv_, 3 * h, h));
    PADLESS_RETURN_IF_ERROR(take(w_out_, h, h));
    PADLESS_RETURN_IF_ERROR(take(w_up_, s_.mlp, h));
    PADLESS_RETURN_IF_ERROR(take(w_down_, h, s_.mlp));
    auto vector = setting_.random_vector(std::max(3 * h, s_.mlp));
    PADLESS_RETURN_IF_ERROR(vector.status());
    vector_ = vector.value();
    PADLESS_RETURN_IF_ERROR(prepare_products());
    return prepare_batch();
  }

  Status enqueue() {
    PADLESS_RETURN_IF_ERROR(product(*gemm_qkv_, x_, w_qkv_, qkv_, Activation::kNone, true));
    PADLESS_RETURN_IF_ERROR(rung_.fused_attention ? fused_attention() : unfused_attention());
    PADLESS_RETURN_IF_ERROR(product(*gemm_out_, context_, w_out_, out_, Activation::kNone, false));
    PADLESS_RETURN_IF_ERROR(norm(out_, x_));
    PADLESS_RETURN_IF_ERROR(product(*gemm_up_, x_, w_up_, middle_, Activation::kGeluErf, true));
    PADLESS_RETURN_IF_ERROR(product(*gemm_down_, middle_, w_down_, out_, Activation::kNone, false));
    return norm(out_, x_);
  }

 private:
  using Gemm = std::optional<CublasLt::Prepared>;

  Status take(Matrix& matrix, int64_t rows, int64_t cols) {
    auto memory = setting_.random(DType::kBF16, rows, cols);
    PADLESS_RETURN_IF_ERROR(memory.status());
    matrix = memory.value();
    return Status::ok();
  }
  Status prepare_product(Gemm& gemm, const Product& product) {
    auto prepared = setting_.cublas()->prepare(product);
    PADLESS_RETURN_IF_ERROR(prepared.status());
    gemm.emplace(prepared.take());
    return Status::ok();
  }
  Status prepare_layer(Gemm& gemm, int64_t n, int64_t k) {
    return prepare_product(gemm,
                           {.m = rows_, .n = n, .k = k, .in_stride = k, .weight_stride = k, .out_stride = n});
  }
  Status prepare_products() {
    const int64_t h = s_.hidden, d = s_.head_dim();
    PADLESS_RETURN_IF_ERROR(prepare_layer(gemm_qkv_, 3 * h, h));
    PADLESS_RETURN_IF_ERROR(prepare_layer(gemm_out_, h, h));
    PADLESS_RETURN_IF_ERROR(prepare_layer(gemm_up_, s_.mlp, h));
    PADLESS_RETURN_IF_ERROR(prepare_layer(gemm_down_, h, s_.mlp));
    PADLESS_RETURN_IF_ERROR(prepare_product(gemm_scores_, {.m = length_,
                                                           .n = length_,
                                                           .k = d,
                                                           .in_stride = 3 * h,
                                                           .weight_stride = 3 * h,
                                                           .out_stride = length_,
                                                           .batch = s_.heads,
                                                           .in_step = d,
                                                           .weight_step = d,
                                                           .out_step = length_ * length_}));
    return prepare_product(gemm_context_, {.m = length_,
                                           .n = d,
                                           .k = length_,
                                           .in_stride = length_,
                                           .weight_stride = 3 * h,
                                           .out_stride = h,
                                           .weight_is_k_by_n = true,
                                           .batch = s_.heads,
                                           .in_step = length_ * length_,
                                           .weight_step = d,
                                           .out_step = d});
  }
  Status prepare_batch() {
    std::vector<int32_t> sums{0}, token_index, packed_row;
    for (size_t b = 0; b < setting_.lengths().size(); b++) {
      for (int32_t s = 0; s < length_; s++) {
        const bool token = s < setting_.lengths()[b];
        packed_row.push_back(token ? static_cast<int32_t>(token_index.size()) : -1);
        if (token) token_index.push_back(static_cast<int32_t>(static_cast<int64_t>(b) * length_ + s));
      }
      sums.push_back(sums.back() + setting_.lengths()[b]);
    }
    shape_ = {s_.heads, s_.heads, s_.head_dim()};
    auto plan = plan_attention(sums, shape_, {}, setting_.device());
    PADLESS_RETURN_IF_ERROR(plan.status());
    plan_ = plan.take();
    auto tiles = setting_.upload(plan_.tiles);
    auto device_sums = setting_.upload(sums), index = setting_.upload(token_index),
         rows = setting_.upload(packed_row);
    PADLESS_RETURN_IF_ERROR(tiles.status());
    for (const auto* each : {&device_sums, &index, &rows}) PADLESS_RETURN_IF_ERROR(each->status());
    tiles_ = tiles.value();
    sums_ = device_sums.value();
    token_index_ = index.value();
    packed_row_ = rows.value();
    return Status::ok();
  }

  Status product(const CublasLt::Prepared& gemm, const Matrix& in, const Matrix& weight, const Matrix& out,
                 Activation activation, bool bias) {
    if (rung_.fused_epilogue) {
      LinearArgs args;
      args.in = in;
      args.weight = weight;
      args.bias = bias ? vector_ : nullptr;
      args.activation = activation;
      args.out = out;
      const GemmPlan plan = plan_gemm(args, setting_.device(), {.split_k = false});
      return linear(args, plan, nullptr, setting_.stream());
    }
    PADLESS_RETURN_IF_ERROR(gemm.run(in.data, weight.data, out.data, setting_.stream()));
    if (!bias) return Status::ok();
    PADLESS_RETURN_IF_ERROR(add_bias(out, vector_, Activation::kNone, setting_.stream()));
    if (activation == Activation::kNone) return Status::ok();
    return add_bias(out, vector_, activation, setting_.stream());  // a pass of its own
  }
  /** x = norm(data + bias + x). */
  Status norm(const Matrix& data, const Matrix& x) {
    ResidualNormArgs args;
    args.in = data;
    args.gamma = args.beta = vector_;
    args.out = x;
    if (rung_.fused_norm) {
      args.residual = x;
      args.bias = vector_;
    } else {
      PADLESS_RETURN_IF_ERROR(add_bias(data, vector_, Activation::kNone, setting_.stream()));
      PADLESS_RETURN_IF_ERROR(add_matrix(data, x, setting_.stream()));
    }
    return residual_norm(args, setting_.stream());
  }
  Status unfused_attention() {
    Matrix qkv = qkv_, context = context_;
    if (rung_.unpadded) {
      qkv = padded_qkv_, context = padded_context_;
      PADLESS_RETURN_IF_ERROR(unpack_rows({qkv_, qkv, packed_row_}, setting_.stream()));
    }
    const int64_t h = s_.hidden;
    const float scale = 0.125f;
    for (int64_t b = 0; b < batch_; b++) {
      const bf16* first = static_cast<const bf16*>(qkv.data) + b * length_ * 3 * h;
      bf16* out = static_cast<bf16*>(context.data) + b * length_ * h;
      PADLESS_RETURN_IF_ERROR(gemm_scores_->run(first, first + h, scores_.data, setting_.stream()));
      PADLESS_RETURN_IF_ERROR(
          softmax_rows(scores_, setting_.lengths()[static_cast<size_t>(b)], scale, setting_.stream()));
      PADLESS_RETURN_IF_ERROR(gemm_context_->run(scores_.data, first + 2 * h, out, setting_.stream()));
    }
    if (!rung_.unpadded) return Status::ok();
    return pack_rows({padded_context_, context_, token_index_}, setting_.stream());
  }
  Status fused_attention() {
    VarlenAttentionArgs args;
    args.shape = shape_;
    args.q = qkv_.columns(0, s_.hidden);
    args.k = qkv_.columns(s_.hidden, s_.hidden);
    args.v = qkv_.columns(2 * s_.hidden, s_.hidden);
    args.out = context_;
    args.cu_seqlens = sums_;
    args.scale = 0.125f;
    return varlen_attention(args, plan_, {tiles_}, setting_.stream());
  }

  Setting& setting_;
  Rung rung_;
  LayerShape s_;
  int64_t batch_ = 0, length_ = 0, padded_ = 0, rows_ = 0;
  Matrix x_, qkv_, padded_qkv_, padded_context_, context_, middle_, out_, scores_;
  Matrix w_qkv_, w_out_, w_up_, w_down_;
  const float* vector_ = nullptr;
  Gemm gemm_qkv_, gemm_out_, gemm_up_, gemm_down_, gemm_scores_, gemm_context_;
  AttentionShape shape_;
  AttentionPlan plan_;
  const AttentionTile* tiles_ = nullptr;
  const int32_t *sums_ = nullptr, *token_index_ = nullptr, *packed_row_ = nullptr;
};

}  // namespace

Status bench_ladder(Setting& setting, Report& report) {
  if (setting.cublas() == nullptr) {
    report.skip("ladder", "its lower rungs need cuBLASLt, and no libcublasLt was found");
    return Status::ok();
  }
  const double tokens = static_cast<double>(setting.tokens()),
               h = static_cast<double>(setting.options().shape.hidden),
               mlp = static_cast<double>(setting.options().shape.mlp);
  double pairs = 0;
  for (int32_t length : setting.lengths()) pairs += static_cast<double>(length) * length;
  for (const Rung& rung : kRungs) {
    {
      Layer layer(setting, rung);
      PADLESS_RETURN_IF_ERROR(layer.prepare());
      auto seconds = setting.measure([&] { return layer.enqueue(); });
      PADLESS_RETURN_IF_ERROR(seconds.status());
      report.add({.op = "ladder",
                  .name = rung.name,
                  .seconds = seconds.value(),
                  .flops = 2 * tokens * h * (4 * h + 2 * mlp) + 4 * h * pairs,
                  .bytes = 2 * (h * (4 * h + 2 * mlp) + tokens * (14 * h + 2 * mlp))});
    }
    setting.release();
  }
  return Status::ok();
}

}  // namespace padless::cuda::bench
