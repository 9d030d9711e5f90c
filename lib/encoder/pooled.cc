// Pooling and the heads on pooled vectors.
#include "lib/encoder/pooled.h"

#include <utility>

#include "lib/encoder/encoder.h"

namespace padless {

size_t PooledRows::bytes() const {
  size_t bytes = 0;
  for (const OwnedMatrix* each : {&first, &pooler, &pooled, &embedding, &normalized, &logits_input, &logits})
    bytes += each->buffer ? each->buffer->bytes() : 0;
  return bytes;
}

PooledOutputs Encoder::pooled_outputs(const ForwardRequest& request, int64_t pooled_rows) const {
  PooledOutputs outputs;
  outputs.pooler = request.pooler_output;
  outputs.logits = request.logits && logits_->takes_pooled(pooled_rows);
  // Counts of tokens to skip come from the host with every call.
  outputs.embedding = request.sentence_embedding && request.skip.empty();
  if (!outputs.embedding) return outputs;
  outputs.pooling = request.pooling;
  outputs.dimensions = request.dimensions;
  outputs.normalize = request.normalize;
  return outputs;
}

Status Encoder::allocate(OwnedMatrix& matrix, int64_t rows, int64_t cols) {
  auto made = allocate_matrix(*engine_, rows, cols);
  if (!made.is_ok()) return made.status();
  matrix = made.take();
  return Status::ok();
}

Status Encoder::make_room(const PooledOutputs& outputs, const ForwardRequest& request, int64_t rows,
                          PooledRows& room) {
  if (outputs.pooler) {
    PADLESS_RETURN_IF_ERROR(allocate(room.first, rows, spec_.hidden_size));
    PADLESS_RETURN_IF_ERROR(allocate(room.pooler, rows, spec_.hidden_size));
  }
  if (outputs.embedding) PADLESS_RETURN_IF_ERROR(make_embedding_room(request, rows, room));
  if (outputs.logits) {
    PADLESS_RETURN_IF_ERROR(allocate(room.logits_input, rows, spec_.hidden_size));
    PADLESS_RETURN_IF_ERROR(allocate(room.logits, rows, logits_->spec().width()));
  }
  return Status::ok();
}

Status Encoder::make_embedding_room(const ForwardRequest& request, int64_t rows, PooledRows& room) {
  const bool own = request.pooling.empty();
  const auto modes = static_cast<int64_t>((own ? spec_.pooling : request.pooling).size());
  PADLESS_RETURN_IF_ERROR(allocate(room.pooled, rows, modes * spec_.hidden_size));
  if (own && !spec_.head.empty())
    PADLESS_RETURN_IF_ERROR(allocate(room.embedding, rows, embedding_width({})));
  return request.normalize ? allocate(room.normalized, rows, embedding_width(request)) : Status::ok();
}

Status Encoder::run_pooled(Stream& stream, const PreparedBatch& batch, const Matrix& hidden,
                           const ForwardRequest& request, const PooledOutputs& outputs,
                           const PooledRows& rows) {
  if (outputs.pooler) {
    const Matrix matrices[] = {rows.first.matrix, rows.pooler.matrix};
    PADLESS_RETURN_IF_ERROR(engine_->pool(stream, batch, {PoolMode::kCls, hidden, matrices[0], {}}));
    PADLESS_RETURN_IF_ERROR(
        engine_->run_rows(stream, poolers_[request.adapter + 1], matrices, matrices[0].rows));
  }
  if (outputs.embedding) PADLESS_RETURN_IF_ERROR(embed_sequences(stream, batch, hidden, request, rows));
  if (!outputs.logits) return Status::ok();
  return logits_->run_pooled(stream, batch, hidden, rows.logits_input.matrix, rows.logits.matrix);
}

Matrix Encoder::embedding_of(const PooledRows& rows, const ForwardRequest& request) const {
  if (rows.normalized.buffer) return rows.normalized.matrix;
  const OwnedMatrix& last = rows.embedding.buffer ? rows.embedding : rows.pooled;
  return last.matrix.columns(0, embedding_width(request));
}

Status Encoder::embed_sequences(Stream& stream, const PreparedBatch& batch, const Matrix& hidden,
                                const ForwardRequest& request, const PooledRows& rows) {
  const std::vector<PoolMode>& modes = request.pooling.empty() ? spec_.pooling : request.pooling;
  const Matrix& pooled = rows.pooled.matrix;
  for (size_t i = 0; i < modes.size(); ++i) {
    const Matrix columns = pooled.columns(static_cast<int64_t>(i) * spec_.hidden_size, spec_.hidden_size);
    PADLESS_RETURN_IF_ERROR(engine_->pool(stream, batch, {modes[i], hidden, columns, request.skip}));
  }
  if (rows.embedding.buffer) {
    const Matrix matrices[] = {pooled, rows.embedding.matrix};
    PADLESS_RETURN_IF_ERROR(engine_->run_rows(stream, head_, matrices, pooled.rows));
  }
  if (!request.normalize) return Status::ok();
  const OwnedMatrix& last = rows.embedding.buffer ? rows.embedding : rows.pooled;
  const Matrix matrices[] = {last.matrix.columns(0, embedding_width(request)), rows.normalized.matrix};
  RowProgram normalize;
  const Slot in = normalize.bound(0, matrices[0].cols), out = normalize.bound(1, matrices[1].cols);
  normalize.steps.push_back(L2NormalizeStep{in, out});
  return engine_->run_rows(stream, normalize, matrices, pooled.rows);
}

Status Encoder::read_pooled(Stream& stream, const Encoded& encoded, const ForwardRequest& request,
                            const ForwardResult& result) {
  const PreparedBatch& batch = *encoded.space->batch;
  const auto read = [&](float* to, const Matrix& matrix) {
    return engine_->copy_rows_to_host(stream, to, row_range(matrix, 0, batch.host().sequences()));
  };
  const PooledRows& rows = *encoded.rows;
  if (encoded.outputs.pooler) PADLESS_RETURN_IF_ERROR(read(result.pooler_output, rows.pooler.matrix));
  if (encoded.outputs.logits) PADLESS_RETURN_IF_ERROR(read(result.logits, rows.logits.matrix));
  if (!request.sentence_embedding) return Status::ok();
  if (encoded.outputs.embedding) return read(result.sentence_embedding, embedding_of(rows, request));
  PooledRows own;
  PADLESS_RETURN_IF_ERROR(make_embedding_room(request, batch.pooled_rows(), own));
  const Matrix hidden = encoded.space->hidden(batch.rows());
  PADLESS_RETURN_IF_ERROR(embed_sequences(stream, batch, hidden, request, own));
  return read(result.sentence_embedding, embedding_of(own, request));
}

}  // namespace padless
