// The logits of a task head over packed tokens: never more of them in device memory than a block of rows.
#pragma once

#include <memory>

#include "lib/encoder/binder.h"
#include "lib/encoder/logits_spec.h"
#include "lib/encoder/row_blocks.h"
#include "lib/encoder/sequence_max.h"

namespace padless {

class LogitsHead {
 public:
  /** `binder` packs for f32: the last layers decide classes and stay exact whatever the encoder computes in.
   */
  static Result<std::unique_ptr<LogitsHead>> load(Engine& engine, const LogitsSpec& spec, int64_t hidden_size,
                                                  WeightBinder& binder);

  const LogitsSpec& spec() const { return spec_; }
  size_t weight_bytes() const;

  /** As many as `rows` has; without them one a token, or one a sequence. */
  int64_t result_rows(const PackedBatch& batch, const LogitRows& rows) const;
  /** E_INVALID_ARGUMENT for rows that are no tokens of the batch, or for a head that has none per token. */
  Status check(const PackedBatch& batch, const LogitRows& rows) const;

  /**
   * Writes f32 [result_rows, width] to host memory. `hidden`: [T, hidden size]. `keep_going` is asked before
   * every block of rows.
   */
  Status run(Stream& stream, const PreparedBatch& batch, const Matrix& hidden, const LogitRows& rows,
             float* out, const KeepGoing& keep_going) const;

  /** Whether run_pooled can do the work of `run` for so many sequences: which rows count follows from the
   * sequences alone, and all logits may lie in device memory at once. */
  bool takes_pooled(int64_t sequences) const;
  /** Enqueues, from `hidden`, f32 `pooled` [pooled_rows(), hidden size] and `logits` [pooled_rows(), width].
   */
  Status run_pooled(Stream& stream, const PreparedBatch& batch, const Matrix& hidden, const Matrix& pooled,
                    const Matrix& logits) const;

  /** For heads with logits a token: calls `take` with the column maxima of each sequence's logits, in order.
   */
  Status max_of_sequences(Stream& stream, const PackedBatch& batch, const Matrix& hidden,
                          const TakeMaxima& take, const KeepGoing& keep_going) const;

 private:
  LogitsHead(Engine& engine, LogitsSpec spec) : engine_(engine), spec_(std::move(spec)) {}
  Status bind(int64_t hidden_size, WeightBinder& binder);
  /** The vector is that of the last token with another id than skip_id, which the host looks for. */
  bool skips_tokens() const { return spec_.pooling == PoolMode::kLastToken && spec_.skip_id >= 0; }
  /** One vector of each sequence, f32 [pooled_rows(), hidden size], into `pooled`. */
  Status pool(Stream& stream, const PreparedBatch& batch, const Matrix& hidden, const Matrix& pooled) const;
  /** Rows of `in` through the steps, a block at a time, to host memory. */
  Status to_host(Stream& stream, const Matrix& in, const LogitRows& rows, float* out,
                 const KeepGoing& keep_going) const;
  Status mean_to_host(Stream& stream, const PreparedBatch& batch, const Matrix& hidden, float* out,
                      const KeepGoing& keep_going) const;

  Engine& engine_;
  LogitsSpec spec_;
  RowProgram program_;  // binding 0: f32 [rows, hidden size]; 1: f32 [rows, width]
};

}  // namespace padless
