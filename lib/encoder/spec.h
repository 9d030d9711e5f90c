// What an encoder computes, as data. TypeScript derives it from config.json; native code never sees a model's
// name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/status.h"
#include "lib/encoder/logits_spec.h"
#include "lib/engine/engine.h"

namespace padless {

/** Where the norms of a layer's two blocks stand. */
enum class NormPlacement {
  kPost,      // after the residual sum: BERT
  kPre,       // of a block's input
  kSandwich,  // of a block's input, and of its result before the residual sum: Gemma 3
};

struct NormSpec {
  NormKind kind = NormKind::kLayer;
  float eps = 1e-12f;
  NormPlacement placement = NormPlacement::kPost;
  bool bias = true;             // of every norm but those of heads
  bool gain_minus_one = false;  // gains are stored as their difference from 1
  bool final = false;           // the last layer's result is normed once more
};

struct EmbeddingSpec {
  int64_t width = 0;        // columns of the tables
  bool projection = false;  // a linear layer takes them to hidden_size; without it the two are equal
  float word_scale = 1;     // of the word rows
  bool norm = true;
  bool norm_after_projection = false;  // of the projected rows instead of the tables'
  int64_t added_rows = 0;              // of a table whose row 0 every token gets; 0: none
};

/**
 * Rows of the position table are positions + offset; `rows == 0`: the model has no position table. With a
 * pad id, a token of that id takes row `offset - 1` and is not counted.
 */
struct PositionSpec {
  int64_t rows = 0;
  int64_t offset = 0;
  int64_t pad_id = -1;  // -1: ids do not matter
};

struct MlpSpec {
  bool glu = false;  // activation(gate) * up instead of activation(up)
  Activation activation = Activation::kGeluErf;
  int64_t intermediate_size = 0;
  int64_t experts = 0;  // of the layers that have experts; 0: none have
  int64_t chosen = 0;   // experts that a token goes to
};

/**
 * Rotary positions: pair i of a head turns by position * frequencies[i]; cosine and sine are multiplied by
 * `factor`. Sequences longer than `length` (if not 0) take `long_frequencies`, or where these are empty
 * those of dynamic NTK scaling, for n tokens: theta' ^ (-2i / rotary_dim) with
 * theta' = theta * (scale * n / length - (scale - 1)) ^ (rotary_dim / (rotary_dim - 2)).
 */
struct RopeSpec {
  int64_t rotary_dim = 0;
  bool interleaved = false;
  std::vector<double> frequencies;  // [rotary_dim / 2], radians a position
  double factor = 1;
  int64_t length = 0;
  std::vector<double> long_frequencies;  // [rotary_dim / 2], or empty
  double theta = 0;
  double scale = 1;
};

struct BiasSpec {
  enum class Kind { kNone, kAlibi, kRelative, kDisentangled };
  Kind kind = Kind::kNone;
  std::vector<float> slopes;  // alibi: [heads]
  int64_t table_rows = 0;     // relative: [table_rows, heads]; disentangled: [table_rows, hidden]
  int64_t reach = 0;          // distances are clamped to it
  /** The table's row by key - query + reach (relative) or query - key + reach (disentangled):
   * [2 * reach + 1]. */
  std::vector<int32_t> rows;
  bool c2p = false;                 // content to position
  bool p2c = false;                 // position to content
  bool shared_projections = false;  // the layer's own key and query weights project the positions
  bool norm = false;                // of the table, before the projections
};

/** A convolution along the embeddings of a sequence, zeros beyond its ends, added to the first layer's
 * result: norm(layer_0 + activation(convolution(embeddings))). */
struct ConvolutionSpec {
  int64_t kernel = 0;  // odd; 0: none
  int64_t groups = 1;
  Activation activation = Activation::kTanh;
};

/** Low-rank additions to every product and to the tables (LoRA, arXiv:2106.09685), one set a task: W + scale
 * * B A. */
struct AdapterSpec {
  int64_t count = 0;  // 0: none
  int64_t rank = 0;
  float scale = 1;
};

struct LayerSpec {
  int64_t weights = 0;  // number of its tensors, "layers.N."; shared by layers of the same number
  AttentionSpan span;
  int rope = -1;               // index into EncoderSpec::ropes, or -1
  bool experts = false;        // several feed-forwards, of which each token takes some
  bool attention_norm = true;  // false: a pre-norm layer's attention reads the residual stream as it is
};

/** A layer of the pooled head: dense [in -> out] with activation, or L2 normalisation. */
struct HeadStep {
  enum class Kind { kDense, kNormalize };
  Kind kind = Kind::kNormalize;
  std::string weights;  // canonical prefix of a dense step's tensors, "head.0"
  int64_t in_features = 0;
  int64_t out_features = 0;
  Activation activation = Activation::kNone;
};

struct EncoderSpec {
  int64_t hidden_size = 0;
  AttentionShape attention;
  float attention_scale = 0;
  int64_t vocab_size = 0;
  EmbeddingSpec embeddings;
  PositionSpec positions;
  int64_t token_types = 0;  // rows of the token-type table; 0: none
  NormSpec norm;
  bool query_key_norm = false;  // RMS norm of each query and key head
  MlpSpec mlp;
  std::vector<RopeSpec> ropes;
  BiasSpec bias;
  ConvolutionSpec convolution;
  AdapterSpec adapters;
  std::vector<LayerSpec> layers;
  bool pooler = false;                  // dense + tanh on the first token of a sequence
  std::vector<PoolMode> pooling;        // concatenated; empty: no sentence embedding
  std::vector<HeadStep> head;           // what follows the pooling
  std::vector<LogitsSpec> projections;  // of every token, besides the logits: ColBERT's vectors, term weights
  std::optional<LogitsSpec> logits;     // the task head; none: there is none, or nobody will ask for it
  ComputeType compute = ComputeType::kF32;

  int64_t num_layers() const { return static_cast<int64_t>(layers.size()); }
  /** Layers that have tensors of their own. */
  int64_t distinct_layers() const;
  /** Columns of the queries of all heads, and of their keys (as many of values). */
  int64_t query_width() const { return attention.heads * attention.head_dim; }
  int64_t key_width() const { return attention.kv_heads * attention.head_dim; }
  /** Whether a window, a bias or a convolution counts how far tokens are apart. */
  bool counts_distances() const;
  /** The longest sequence the position table has rows for; INT32_MAX where there is no table. */
  int64_t max_length() const;
};

/** Asserts again what TypeScript has checked with the config's field names. */
Status validate(const EncoderSpec& spec);

}  // namespace padless
