// Small encoders with random weights on the emulated GPU, and their forwards.
#pragma once

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "cuda/tests/engine_support.h"
#include "lib/encoder/encoder.h"

namespace padless::cuda::test {

constexpr int64_t kHidden = 64, kInner = 96, kVocab = 40, kMostPositions = 160;
/** A token whose embedding is NaN. */
constexpr int32_t kNanId = kVocab - 1;

/** Every tensor that a small encoder may ask for, made up when it does. */
class RandomWeights final : public WeightSource {
 public:
  explicit RandomWeights(const EncoderSpec& spec) : spec_(spec) {}
  bool has(const std::string& name) const override { return spec_.norm.bias || !name.ends_with(".beta"); }
  void release(const std::string&) const override {}
  std::string label(const std::string& name) const override { return name; }

  Result<HostTensor> tensor(const std::string& name) const override {
    const std::vector<int64_t> shape = shape_of(name);
    int64_t elements = 1;
    for (const int64_t dim : shape) elements *= dim;
    auto [found, is_new] = tensors_.try_emplace(name);
    if (is_new) {
      Random random(std::hash<std::string>{}(name));
      const float around = name.ends_with("gamma") ? 1.0f : 0.0f;
      found->second = random.vector<float>(static_cast<size_t>(elements), around - 0.3f, around + 0.3f);
      if (name == "embeddings.word") {
        std::fill(found->second.end() - kHidden, found->second.end(), NAN);
      }
    }
    return HostTensor{found->second.data(), DType::kF32, shape};
  }

 private:
  std::vector<int64_t> shape_of(const std::string& name) const {
    const auto is = [&](const char* part) { return name.find(part) != std::string::npos; };
    const int64_t query = spec_.query_width(), key = spec_.key_width();
    const bool bias = name.ends_with(".bias");
    if (name == "embeddings.word") return {kVocab, kHidden};
    if (name == "embeddings.position") return {spec_.positions.rows, kHidden};
    if (name == "embeddings.tokenType") return {spec_.token_types, kHidden};
    if (name == "positions.relative") {
      const bool by_head = spec_.bias.kind == BiasSpec::Kind::kRelative;
      return {spec_.bias.table_rows, by_head ? spec_.attention.heads : kHidden};
    }
    if (name == "convolution.weight") return {kHidden, kHidden, spec_.convolution.kernel};
    if (is("gamma") || is("beta") || name == "convolution.bias") return {kHidden};
    const int64_t out = is("query") || is("position") ? query
                        : is("key") || is("value")    ? key
                        : is("up") || is("gate")      ? kInner
                                                      : kHidden;
    int64_t in = is("mlp.down") ? kInner : is("attention.output") ? query : kHidden;
    if (name.starts_with("dense")) in *= static_cast<int64_t>(spec_.pooling.size());
    return bias ? std::vector<int64_t>{out} : std::vector<int64_t>{out, in};
  }

  const EncoderSpec& spec_;
  mutable std::map<std::string, std::vector<float>> tensors_;
};

/** Two post-norm layers as BERT's, with tables of positions and token types. */
inline EncoderSpec small_spec() {
  EncoderSpec spec;
  spec.hidden_size = spec.embeddings.width = kHidden;
  spec.attention = {.heads = 2, .kv_heads = 2, .head_dim = 32};
  spec.attention_scale = 0.2f;
  spec.vocab_size = kVocab;
  spec.positions.rows = kMostPositions;
  spec.token_types = 2;
  spec.mlp.intermediate_size = kInner;
  spec.layers.resize(2);
  spec.layers[1].weights = 1;
  spec.pooling = {PoolMode::kMean};
  spec.compute = ComputeType::kBF16;
  return spec;
}

struct TestBatch {
  std::vector<int32_t> ids, positions, types, sums{0};
  bool typed = false;

  PackedBatch view() const {
    return {ids, positions, typed ? std::span<const int32_t>(types) : std::span<const int32_t>{}, sums};
  }
  TestBatch& with_types() { return typed = true, *this; }
};

inline TestBatch make_batch(const std::vector<int32_t>& lengths, Random& random, bool nan = false) {
  TestBatch batch;
  for (const int32_t length : lengths) {
    for (int32_t t = 0; t < length; t++) {
      batch.ids.push_back(nan ? kNanId : static_cast<int32_t>(random.integer(0, kNanId - 1)));
      batch.positions.push_back(t);
      batch.types.push_back(static_cast<int32_t>(random.integer(0, 1)));
    }
    batch.sums.push_back(batch.sums.back() + length);
  }
  return batch;
}

inline std::shared_ptr<Encoder> load_encoder(std::shared_ptr<Engine> engine, const EncoderSpec& spec) {
  auto encoder =
      Encoder::load(std::move(engine), spec, RandomWeights(spec), nullptr, {}, [] { return false; });
  check_ok(encoder.status(), "loading an encoder");
  return encoder.is_ok() ? encoder.take() : nullptr;
}

/** An encoder on a stream of its own, as the binding keeps it. */
struct Session {
  explicit Session(std::shared_ptr<Encoder> loaded, size_t most_bytes = Workspaces::kMostBytes)
      : encoder(std::move(loaded)), stream(open_stream(encoder->engine())), spaces(most_bytes) {}

  std::shared_ptr<Encoder> encoder;
  std::shared_ptr<Stream> stream;
  Workspaces spaces;
};

/** Hidden rows, then what else was asked for in the order of ForwardResult; NaN until they arrive. */
using Rows = std::vector<float>;

/** Hidden rows and normalised sentence embeddings. */
inline ForwardRequest usual_request(int64_t layers = 2) {
  ForwardRequest request;
  request.last_hidden_state = request.sentence_embedding = request.normalize = true;
  request.layers = layers;
  return request;
}

/** Enqueues a forward; `rows` is written when the stream's work is done. */
inline Status enqueue(Session& session, const TestBatch& batch, Rows& rows, const ForwardRequest& request,
                      bool cancelled = false) {
  const PackedBatch view = batch.view();
  const LogitsHead* const head = session.encoder->logits_head();
  const int64_t hidden = request.last_hidden_state ? view.tokens() * kHidden : 0;
  const int64_t pooler = request.pooler_output ? view.sequences() * kHidden : 0;
  const int64_t embedding =
      request.sentence_embedding ? view.sequences() * session.encoder->embedding_width(request) : 0;
  const int64_t logits = request.logits ? view.sequences() * head->spec().width() : 0;
  rows.assign(static_cast<size_t>(hidden + pooler + embedding + logits), NAN);
  float* next = rows.data();
  const auto place = [&next](bool wanted, int64_t size) {
    return wanted ? std::exchange(next, next + size) : nullptr;
  };
  ForwardResult result;
  result.last_hidden_state = place(request.last_hidden_state, hidden);
  result.pooler_output = place(request.pooler_output, pooler);
  result.sentence_embedding = place(request.sentence_embedding, embedding);
  result.logits = place(request.logits, logits);
  Status status;
  run_on(*session.stream, [&] {
    status = session.encoder->forward(*session.stream, session.spaces, view, request, result,
                                      [&] { return cancelled; });
  });
  return status;
}

inline Rows forward(Session& session, const TestBatch& batch, const ForwardRequest& request) {
  Rows rows;
  check_ok(enqueue(session, batch, rows, request), "a forward");
  check_ok(completion(*session.stream), "its end");
  return rows;
}

inline Rows forward(Session& session, const TestBatch& batch, int64_t layers = 2) {
  return forward(session, batch, usual_request(layers));
}

inline bool same_bits(const Rows& a, const Rows& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace padless::cuda::test
