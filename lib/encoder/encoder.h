// A loaded encoder: weights in an engine's layout, and the forward over packed batches.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "lib/encoder/binder.h"
#include "lib/encoder/logits.h"
#include "lib/encoder/pooled.h"
#include "lib/encoder/programs.h"
#include "lib/encoder/rope.h"
#include "lib/encoder/score_bias.h"
#include "lib/encoder/sparse_rows.h"
#include "lib/encoder/spec.h"
#include "lib/encoder/weight_source.h"
#include "lib/encoder/workspace.h"
#include "lib/engine/engine.h"

namespace padless {

/** Asked between the steps of a load or a forward: true stops it with E_ABORTED. */
using Cancelled = std::function<bool()>;

/** What a forward is asked for; sizes in floats are given by Encoder::result_sizes. */
struct ForwardRequest {
  bool last_hidden_state = false;
  bool pooler_output = false;
  bool sentence_embedding = false;
  int64_t adapter = -1;           // of AdapterSpec, -1: none
  int64_t layers = 0;             // run the first so many only (2D Matryoshka, arXiv:2402.14776)
  std::vector<PoolMode> pooling;  // instead of the spec's, and without its head; empty: the spec's
  std::span<const int32_t> skip;  // [B] leading tokens that pooling leaves out, or empty
  int64_t dimensions = 0;         // keep the first columns of the sentence embedding; 0: all
  bool normalize = false;         // L2, after the truncation
  bool logits = false;
  LogitRows logit_rows;  // of heads that have logits a token
  bool projections = false;
  LogitRows projection_rows;
  std::optional<SparseOptions> sparse;  // of the task head's logits
};

/** Host memory of the caller; a null pointer where nothing was asked for. */
struct ForwardResult {
  float* last_hidden_state = nullptr;   // [T, H]
  float* pooler_output = nullptr;       // [B, H]
  float* sentence_embedding = nullptr;  // [B, dimensions]
  float* logits = nullptr;              // [logit_rows, logits_head()->spec().width()]
  std::vector<float*> projections;      // [projection_rows, projections()[i]->spec().width()] each
  SparseRows* sparse = nullptr;         // a row a sequence is appended
};

class Encoder {
 public:
  using Progress = std::function<void(int64_t done, int64_t total)>;

  ~Encoder();
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  /** `cache` may be null; it is written by the caller, who knows what a failure means. */
  static Result<std::shared_ptr<Encoder>> load(std::shared_ptr<Engine> engine, EncoderSpec spec,
                                               const WeightSource& weights, PackedCache* cache,
                                               const Progress& progress, const Cancelled& cancelled);

  const EncoderSpec& spec() const { return spec_; }
  Engine& engine() const { return *engine_; }
  size_t weight_bytes() const;
  /** Null for an encoder that was loaded without a task head. */
  const LogitsHead* logits_head() const { return logits_.get(); }
  const std::vector<std::unique_ptr<LogitsHead>>& projections() const { return projections_; }

  /** Ids within the vocabulary, positions within the table, types within theirs, the request's options sane.
   */
  Status check(const PackedBatch& batch, const ForwardRequest& request) const;
  /**
   * Distances are counted in the packed sequence, so a model that goes by them needs positions that follow
   * each other; E_UNSUPPORTED for the holes of a mask, which lie between tokens that then would be
   * neighbours.
   */
  Status check_distances(const PackedBatch& batch) const;
  /**
   * The positions that the model's own tokenizer side would count: the given ones, but for sequences that
   * hold the pad id of a model that skips it (transformers' create_position_ids_from_input_ids).
   */
  std::vector<int32_t> effective_positions(const PackedBatch& batch) const;
  /** Columns of a sentence embedding. */
  int64_t embedding_width(const ForwardRequest& request) const;

  /** Called on the stream's thread; `result` is written when the stream's work so far is done. `spaces` are
   * this encoder's on this stream. `check` must have passed. After E_OUT_OF_MEMORY, as after any failure, a
   * batch that fits runs as ever. */
  Status forward(Stream& stream, Workspaces& spaces, const PackedBatch& batch, const ForwardRequest& request,
                 const ForwardResult& result, const Cancelled& cancelled);

 private:
  Encoder(std::shared_ptr<Engine> engine, EncoderSpec spec);
  Status bind(const WeightSource& weights, PackedCache* cache, const Progress& progress,
              const Cancelled& cancelled);
  Status bind_parts(const WeightSource& weights, PackedCache* cache, const Progress& progress,
                    const Cancelled& cancelled);
  Status bind_pooled_heads(WeightBinder& binder);
  Status bind_token_heads(WeightBinder& exact);
  Status token_heads(Stream& stream, const PreparedBatch& batch, const Matrix& hidden,
                     const ForwardRequest& request, const ForwardResult& result, const Cancelled& cancelled);
  const LayerPrograms& programs_of(int64_t adapter) const { return programs_[adapter + 1]; }
  /** The batch and its hidden rows, and what `outputs` says of the request's other results. */
  struct Encoded {
    Workspace* space = nullptr;
    PooledOutputs outputs;
    std::shared_ptr<PooledRows> rows;
  };
  Status forward_or_throw(Stream& stream, Workspaces& spaces, const PackedBatch& batch,
                          const ForwardRequest& request, const ForwardResult& result,
                          const Cancelled& cancelled);
  /** With hidden rows in memory of the caller, or of its own if that is null. */
  Result<Encoded> encode(Stream& stream, Workspaces& spaces, const PackedBatch& batch,
                         const ForwardRequest& request, float* hidden_rows, const Cancelled& cancelled);
  Status prepare_batch(Stream& stream, Workspace& space, const PackedBatch& batch, const BatchLayout& layout);
  /** Runs of sequences, one after the other, through embedding and layers; `cuts` as of cut_sequences. */
  Status encode_slices(Stream& stream, Workspace& space, const PackedBatch& batch,
                       std::span<const int64_t> cuts, const ForwardRequest& request,
                       const Cancelled& cancelled);
  Status embed(Stream& stream, const LayerRows& rows, int64_t adapter);
  Status convolve(Stream& stream, const LayerRows& rows);
  Status run_layers(Stream& stream, const LayerRows& rows, const ForwardRequest& request,
                    const Cancelled& cancelled);
  /** What `body` does, recorded; false if it has to be run. */
  bool replay(Stream& stream, RecordedForward& forward, const std::function<Status()>& body);

  // pooled.cc
  /** What can be made of the request on the device alone, for so many sequences. */
  PooledOutputs pooled_outputs(const ForwardRequest& request, int64_t pooled_rows) const;
  Status allocate(OwnedMatrix& matrix, int64_t rows, int64_t cols);
  Status make_room(const PooledOutputs& outputs, const ForwardRequest& request, int64_t rows,
                   PooledRows& room);
  Status make_embedding_room(const ForwardRequest& request, int64_t rows, PooledRows& room);
  Status run_pooled(Stream& stream, const PreparedBatch& batch, const Matrix& hidden,
                    const ForwardRequest& request, const PooledOutputs& outputs, const PooledRows& rows);
  Status embed_sequences(Stream& stream, const PreparedBatch& batch, const Matrix& hidden,
                         const ForwardRequest& request, const PooledRows& rows);
  Matrix embedding_of(const PooledRows& rows, const ForwardRequest& request) const;
  Status read_pooled(Stream& stream, const Encoded& encoded, const ForwardRequest& request,
                     const ForwardResult& result);

  std::shared_ptr<Engine> engine_;
  EncoderSpec spec_;
  ActivationStorage storage_;
  EncoderWeights weights_;
  ScoreBias bias_;
  std::vector<std::unique_ptr<RopeTable>> ropes_;
  std::vector<TokenRows> token_rows_;    // of the ropes
  std::vector<LayerPrograms> programs_;  // [0] without an adapter, [1 + i] with adapter i
  std::vector<RowProgram> poolers_;      // the same, where there is a pooler
  RowProgram head_;
  std::unique_ptr<LogitsHead> logits_;
  std::vector<std::unique_ptr<LogitsHead>> projections_;
};

}  // namespace padless
