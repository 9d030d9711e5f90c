#include "lib/engine/cpu/embed.h"

#include <cmath>
#include <cstring>

#include "lib/engine/cpu/checks.h"
#include "lib/engine/cpu/parallel_rows.h"

namespace padless {
namespace {

/** Partial sums of a reduction: as many as the widest vector has lanes, so the order is the same everywhere.
 */
constexpr int kLanes = 16;

template <class Term>
float sum_over(int64_t cols, const Term& term) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  for (int lane = 0; i < cols; ++i, ++lane) lanes[lane] += term(i);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

void normalize(NormKind kind, float eps, const float* gamma, const float* beta, float* row, int64_t cols) {
  const auto count = static_cast<float>(cols);
  const float mean =
      kind == NormKind::kLayer ? sum_over(cols, [&](int64_t i) { return row[i]; }) / count : 0.f;
  const float variance = sum_over(cols, [&](int64_t i) { return (row[i] - mean) * (row[i] - mean); }) / count;
  const float scale = 1.f / std::sqrt(variance + eps);
  for (int64_t i = 0; i < cols; ++i) row[i] = (row[i] - mean) * scale * gamma[i];
  if (beta == nullptr) return;
  for (int64_t i = 0; i < cols; ++i) row[i] += beta[i];
}

void set_row(const Matrix& table, int64_t index, float* out) {
  switch (table.dtype) {
    case DType::kF16:
      for (int64_t i = 0; i < table.cols; ++i) out[i] = f16_to_float(table.row<const uint16_t>(index)[i]);
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < table.cols; ++i) out[i] = bf16_to_float(table.row<const uint16_t>(index)[i]);
      return;
    default:
      std::memcpy(out, table.row<const float>(index), table.cols * sizeof(float));
  }
}

void add_row(const Matrix& table, int64_t index, float* out) {
  switch (table.dtype) {
    case DType::kF16:
      for (int64_t i = 0; i < table.cols; ++i) out[i] += f16_to_float(table.row<const uint16_t>(index)[i]);
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < table.cols; ++i) out[i] += bf16_to_float(table.row<const uint16_t>(index)[i]);
      return;
    default:
      for (int64_t i = 0; i < table.cols; ++i) out[i] += table.row<const float>(index)[i];
  }
}

Status check_table(const Matrix& table, int64_t cols, const char* field) {
  PADLESS_CHECK(table.dtype == DType::kF32 || table.dtype == DType::kF16 || table.dtype == DType::kBF16,
                Code::kInvalidArgument, field, field, " is ", dtype_name(table.dtype),
                "; embedding tables are f32, f16 or bf16");
  PADLESS_CHECK(table.cols == cols, Code::kInvalidArgument, field, field, " has ", table.cols,
                " columns, the output has ", cols);
  return Status::ok();
}

/** Row indices[i] + offset must exist in a table of `rows` rows, for each i. */
Status check_indices(std::span<const int32_t> indices, int64_t offset, int64_t rows, const char* field) {
  for (size_t i = 0; i < indices.size(); ++i) {
    const int64_t row = indices[i] + offset;
    PADLESS_CHECK(row >= 0 && row < rows, Code::kInvalidArgument, field, field, "[", i, "] is ", indices[i],
                  offset == 0 ? "" : concat(" (row ", row, " with the offset)"), "; the table has ", rows,
                  " rows");
  }
  return Status::ok();
}

Status check(const PackedBatch& batch, const EmbedArgs& args) {
  PADLESS_CHECK(args.word != nullptr, Code::kInvalidArgument, "word", "embed needs a word table");
  const int64_t tokens = batch.tokens();
  const int64_t cols = args.out.cols;
  PADLESS_RETURN_IF_ERROR(check_matrix(args.out, tokens, cols, "out"));
  PADLESS_RETURN_IF_ERROR(check_table(args.word->view(), cols, "word"));
  PADLESS_RETURN_IF_ERROR(check_indices(batch.ids, 0, args.word->view().rows, "ids"));
  if (args.position != nullptr) {
    PADLESS_RETURN_IF_ERROR(check_table(args.position->view(), cols, "position"));
    PADLESS_RETURN_IF_ERROR(
        check_indices(batch.positions, args.position_offset, args.position->view().rows, "positions"));
  }
  if (args.token_type != nullptr) {
    const int64_t types = args.token_type->view().rows;
    PADLESS_RETURN_IF_ERROR(check_table(args.token_type->view(), cols, "tokenType"));
    PADLESS_RETURN_IF_ERROR(check_indices(batch.token_types, 0, types, "tokenTypes"));
    PADLESS_CHECK(types > 0 || tokens == 0, Code::kInvalidArgument, "tokenType",
                  "the token type table is empty");
  }
  if (args.gamma != nullptr) PADLESS_RETURN_IF_ERROR(check_matrix(args.gamma->view(), 1, cols, "gamma"));
  if (args.beta != nullptr) {
    PADLESS_CHECK(args.gamma != nullptr, Code::kInvalidArgument, "beta", "a norm with beta needs gamma too");
    PADLESS_RETURN_IF_ERROR(check_matrix(args.beta->view(), 1, cols, "beta"));
  }
  return Status::ok();
}

}  // namespace

Status embed_cpu(const CpuContext& context, const PackedBatch& batch, const EmbedArgs& args) {
  PADLESS_RETURN_IF_ERROR(check(batch, args));
  const Matrix word = args.word->view();
  const float* gamma = args.gamma != nullptr ? args.gamma->view().row<const float>(0) : nullptr;
  const float* beta = args.beta != nullptr ? args.beta->view().row<const float>(0) : nullptr;
  parallel_rows(batch.tokens(), args.out.cols, context.threads, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      float* out = args.out.row<float>(t);
      set_row(word, batch.ids[t], out);
      if (args.word_scale != 1.f) {
        for (int64_t i = 0; i < args.out.cols; ++i) out[i] *= args.word_scale;
      }
      if (args.token_type != nullptr) {
        add_row(args.token_type->view(), batch.token_types.empty() ? 0 : batch.token_types[t], out);
      }
      if (args.position != nullptr) {
        add_row(args.position->view(), batch.positions[t] + args.position_offset, out);
      }
      if (gamma != nullptr) normalize(args.norm, args.eps, gamma, beta, out, args.out.cols);
    }
  });
  return Status::ok();
}

}  // namespace padless
