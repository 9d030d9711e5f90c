#include "lib/engine/cpu/embed.h"

#include <algorithm>
#include <cstring>

#include "lib/engine/cpu/checks.h"
#include "lib/engine/cpu/parallel_rows.h"
#include "lib/engine/cpu/rows/norm_kernel.h"

namespace padless {
namespace {

constexpr int64_t kLineBytes = 64;

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

/** A word's row is far from the last one's: the hardware does not foresee it. */
void fetch_row(const Matrix& table, int64_t index) {
  const auto element = static_cast<int64_t>(dtype_size(table.dtype));
  const char* row = static_cast<const char*>(table.data) + index * table.stride * element;
  const int64_t bytes = table.cols * element;
  for (int64_t i = 0; i < bytes; i += kLineBytes) __builtin_prefetch(row + i);
}

/** The sum of a token's rows in all tables. */
void sum_row(const PackedBatch& batch, const EmbedArgs& args, int64_t token) {
  float* out = args.out.row<float>(token);
  set_row(args.word->view(), batch.ids[token], out);
  if (args.word_scale != 1.f) {
    for (int64_t i = 0; i < args.out.cols; ++i) out[i] *= args.word_scale;
  }
  if (args.token_type != nullptr) {
    add_row(args.token_type->view(), batch.token_types.empty() ? 0 : batch.token_types[token], out);
  }
  if (args.position != nullptr) {
    add_row(args.position->view(), batch.positions[token] + args.position_offset, out);
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
  NormTask norm;
  norm.in_stride = norm.out_stride = args.out.stride;
  norm.columns = args.out.cols;
  norm.eps = args.eps;
  if (args.gamma != nullptr) norm.gamma = args.gamma->view().row<const float>(0);
  if (args.beta != nullptr) norm.beta = args.beta->view().row<const float>(0);
  const NormKernels& kernels = select_norm_kernels(context.isa);
  const auto normalize = args.norm == NormKind::kLayer ? kernels.layer : kernels.rms;
  parallel_rows(batch.tokens(), args.out.cols, context.threads, [&](int64_t begin, int64_t end) {
    NormTask task = norm;
    for (int64_t first = begin; first < end; first += kRowsInL1) {
      const int64_t last = std::min(first + kRowsInL1, end);
      for (int64_t t = last; t < std::min(last + kRowsInL1, end); ++t)
        fetch_row(args.word->view(), batch.ids[t]);
      for (int64_t t = first; t < last; ++t) sum_row(batch, args, t);
      if (args.gamma == nullptr) continue;
      task.in = task.out = args.out.row<float>(first);
      task.rows = last - first;
      normalize(task);
    }
  });
  return Status::ok();
}

}  // namespace padless
