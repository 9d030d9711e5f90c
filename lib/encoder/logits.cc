#include "lib/encoder/logits.h"

#include <algorithm>

#include "lib/encoder/row_blocks.h"
#include "lib/encoder/sequence_max.h"

namespace padless {

Status validate(const LogitsSpec& spec, int64_t hidden_size) {
  int64_t width = hidden_size;
  for (const LogitsStep& step : spec.steps) {
    PADLESS_CHECK(step.in_features == width && step.out_features > 0, Code::kBadConfig, step.weights,
                  "a layer of the task head takes ", step.in_features, " features where ", width, " arrive");
    PADLESS_CHECK(step.kind == LogitsStep::Kind::kDense || step.out_features == width, Code::kBadConfig,
                  step.weights, "a norm of the task head changes the width");
    PADLESS_CHECK(step.rows.empty() || static_cast<int64_t>(step.rows.size()) == step.out_features,
                  Code::kBadConfig, step.weights, step.rows.size(), " rows cannot make ", step.out_features,
                  " features");
    width = step.out_features;
  }
  PADLESS_CHECK(!spec.steps.empty() && spec.steps.back().kind != LogitsStep::Kind::kNorm, Code::kBadConfig,
                "logits", "a task head must not end with a norm");
  return Status::ok();
}

Result<std::unique_ptr<LogitsHead>> LogitsHead::load(Engine& engine, const LogitsSpec& spec,
                                                     int64_t hidden_size, WeightBinder& binder) {
  std::unique_ptr<LogitsHead> head(new LogitsHead(engine, spec));
  PADLESS_RETURN_IF_ERROR(head->bind(hidden_size, binder));
  return head;
}

Status LogitsHead::bind(int64_t hidden_size, WeightBinder& binder) {
  Slot at = program_.bound(0, hidden_size);
  for (size_t i = 0; i < spec_.steps.size(); ++i) {
    const LogitsStep& step = spec_.steps[i];
    const bool last = i + 1 == spec_.steps.size();
    const Slot out = last ? program_.bound(1, step.out_features) : program_.temporary(step.out_features);
    if (step.kind == LogitsStep::Kind::kDense) {
      auto weight = step.rows.empty()
                        ? binder.linear({step.weights}, step.in_features, {step.out_features})
                        : binder.linear_rows(step.weights, step.in_features, step.stored_features, step.rows);
      if (!weight.is_ok()) return weight.status();
      program_.steps.push_back(LinearStep{weight.take(), at, out, kNoSlot, step.activation});
    } else if (step.kind == LogitsStep::Kind::kL2Normalize) {
      program_.steps.push_back(L2NormalizeStep{at, out});
    } else {
      auto gamma = binder.vector(step.weights + ".gamma", step.out_features);
      if (!gamma.is_ok()) return gamma.status();
      NormStep norm{step.norm, gamma.take(), nullptr, step.eps, at, out};
      if (binder.has(step.weights + ".beta")) {
        auto beta = binder.vector(step.weights + ".beta", step.out_features);
        if (!beta.is_ok()) return beta.status();
        norm.beta = beta.take();
      }
      program_.steps.push_back(std::move(norm));
    }
    at = out;
  }
  return Status::ok();
}

size_t LogitsHead::weight_bytes() const {
  size_t bytes = 0;
  for (const RowStep& step : program_.steps) {
    if (const auto* linear = std::get_if<LinearStep>(&step)) bytes += linear->weight->bytes();
  }
  return bytes;
}

int64_t LogitsHead::result_rows(const PackedBatch& batch, const LogitRows& rows) const {
  if (!spec_.per_token()) return batch.sequences();
  return rows ? static_cast<int64_t>(rows->size()) : batch.tokens();
}

Status LogitsHead::check(const PackedBatch& batch, const LogitRows& rows) const {
  if (!rows) return Status::ok();
  PADLESS_CHECK(spec_.per_token(), Code::kInvalidArgument, "logitRows",
                "this head gives a row of logits a sequence; logitRows chooses among those of tokens");
  for (size_t i = 0; i < rows->size(); ++i) {
    const int32_t row = (*rows)[i];
    PADLESS_CHECK(row >= 0 && row < batch.tokens(), Code::kInvalidArgument, "logitRows", "logitRows[", i,
                  "] is ", row, "; the batch has ", batch.tokens(), " tokens");
  }
  return Status::ok();
}

Status LogitsHead::run(Stream& stream, const PreparedBatch& batch, const Matrix& hidden,
                       const LogitRows& rows, float* out, const KeepGoing& keep_going) const {
  if (spec_.per_token()) return to_host(stream, hidden, rows, out, keep_going);
  if (spec_.mean) return mean_to_host(stream, batch, hidden, out, keep_going);
  auto pooled = allocate_matrix(engine_, batch.pooled_rows(), hidden.cols);
  if (!pooled.is_ok()) return pooled.status();
  PADLESS_RETURN_IF_ERROR(pool(stream, batch, hidden, pooled.value().matrix));
  return to_host(stream, row_range(pooled.value().matrix, 0, batch.host().sequences()), std::nullopt, out,
                 keep_going);
}

bool LogitsHead::takes_pooled(int64_t sequences) const {
  return !spec_.per_token() && !spec_.mean && !skips_tokens() && sequences <= block_rows(spec_.width());
}

Status LogitsHead::run_pooled(Stream& stream, const PreparedBatch& batch, const Matrix& hidden,
                              const Matrix& pooled, const Matrix& logits) const {
  PADLESS_RETURN_IF_ERROR(pool(stream, batch, hidden, pooled));
  const Matrix matrices[] = {pooled, logits};
  return engine_.run_rows(stream, program_, matrices, pooled.rows);
}

Status LogitsHead::pool(Stream& stream, const PreparedBatch& batch, const Matrix& hidden,
                        const Matrix& pooled) const {
  if (!skips_tokens()) {
    return engine_.pool(stream, batch, {spec_.pooling, hidden, pooled, {}});
  }
  // Where no token counts, transformers takes the first one.
  const PackedBatch& host = batch.host();
  std::vector<int32_t> last(static_cast<size_t>(host.sequences()), -1);
  for (int64_t b = 0; b < host.sequences(); ++b) {
    const int32_t begin = host.cu_seqlens[b];
    int32_t t = host.cu_seqlens[b + 1] - 1;
    while (t > begin && host.ids[t] == spec_.skip_id) --t;
    last[b] = t >= begin ? t : -1;
  }
  return engine_.gather_rows(stream, hidden, last, pooled);
}

Status LogitsHead::to_host(Stream& stream, const Matrix& in, const LogitRows& rows, float* out,
                           const KeepGoing& keep_going) const {
  const int64_t width = spec_.width();
  ActivationRows reader(engine_, stream, in, rows);
  const int64_t block = std::min(reader.total(), block_rows(width));
  auto logits = allocate_matrix(engine_, block, width);
  if (!logits.is_ok()) return logits.status();
  for (int64_t first = 0; first < reader.total(); first += block) {
    PADLESS_RETURN_IF_ERROR(keep_going());
    const int64_t count = std::min(block, reader.total() - first);
    Result<Matrix> source = reader.read(first, count);
    if (!source.is_ok()) return source.status();
    const Matrix matrices[] = {source.value(), row_range(logits.value().matrix, 0, count)};
    PADLESS_RETURN_IF_ERROR(engine_.run_rows(stream, program_, matrices, count));
    const size_t bytes = static_cast<size_t>(count * width) * sizeof(float);
    PADLESS_RETURN_IF_ERROR(engine_.copy_to_host(stream, out + first * width, matrices[1].data, bytes));
  }
  return Status::ok();
}

Status LogitsHead::mean_to_host(Stream& stream, const PreparedBatch& batch, const Matrix& hidden, float* out,
                                const KeepGoing& keep_going) const {
  const int64_t width = spec_.width();
  const int64_t sequences = batch.host().sequences();
  auto every = allocate_matrix(engine_, hidden.rows, width);
  if (!every.is_ok()) return every.status();
  auto means = allocate_matrix(engine_, batch.pooled_rows(), width);
  if (!means.is_ok()) return means.status();
  ActivationRows reader(engine_, stream, hidden, std::nullopt);
  const int64_t block = std::max<int64_t>(1, block_rows(hidden.cols));
  for (int64_t first = 0; first < hidden.rows; first += block) {
    PADLESS_RETURN_IF_ERROR(keep_going());
    const int64_t count = std::min(block, hidden.rows - first);
    Result<Matrix> source = reader.read(first, count);
    if (!source.is_ok()) return source.status();
    const Matrix matrices[] = {source.value(), row_range(every.value().matrix, first, count)};
    PADLESS_RETURN_IF_ERROR(engine_.run_rows(stream, program_, matrices, count));
  }
  const Matrix& result = means.value().matrix;
  PADLESS_RETURN_IF_ERROR(engine_.pool(stream, batch, {PoolMode::kMean, every.value().matrix, result, {}}));
  return engine_.copy_to_host(stream, out, result.data,
                              static_cast<size_t>(sequences * width) * sizeof(float));
}

Status LogitsHead::max_of_sequences(Stream& stream, const PackedBatch& batch, const Matrix& hidden,
                                    const TakeMaxima& take, const KeepGoing& keep_going) const {
  ActivationRows rows(engine_, stream, hidden, std::nullopt);
  return sequence_max(engine_, stream, {program_, spec_.width(), batch.cu_seqlens}, rows, take, keep_going);
}

}  // namespace padless
