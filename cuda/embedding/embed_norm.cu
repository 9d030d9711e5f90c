// Embeddings fused with their norm:  out[t] = norm(word_scale * word[ids[t]] +
// position[positions[t] + offset] + type[types[t]]).
//
// The sum stays in registers: each table row is read once and the output written once. Tables keep the dtype
// of their file, which may differ from the output's. Indices are clamped to the tables: the caller has
// checked them, and a wrong one must not fault a device that others share.
#include "cuda/checks.h"
#include "cuda/padless_cuda.h"
#include "cuda/tile/row_count.cuh"
#include "cuda/tile/row_norm.cuh"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda {
namespace {

struct Table {
  const void* data;  // [rows, cols], or null
  DType dtype;
  int64_t stride;
  int32_t rows;

  // Calls f with the row's address: the branch is the same for the whole grid.
  template <class F>
  DEVICE void with_row(int64_t index, F&& f) const {
    const int64_t last = rows - 1, first = (index < 0 ? 0 : index > last ? last : index) * stride;
    switch (dtype) {
      case DType::kBF16:
        return f(static_cast<const bf16*>(data) + first);
      case DType::kF16:
        return f(static_cast<const fp16*>(data) + first);
      default:
        return f(static_cast<const float*>(data) + first);
    }
  }
};

struct Params {
  Table word, position, token_type;
  float word_scale;
  const int32_t* ids;          // [T]
  const int32_t* positions;    // [T], or null
  const int32_t* token_types;  // [T], or null: all 0
  int64_t position_offset;
  void* out;  // [T, cols]
  DType out_dtype;
  int64_t out_stride;
  RowCount rows;
  int cols;
  bool whole;    // tables and out have 16-byte aligned rows of a multiple of eight columns
  RowNorm norm;  // gamma == null: none
};

template <int kWarps, int kVectors>
__global__ void __launch_bounds__(kRowThreads<kWarps>) embed_norm_kernel(const Params p) {
  SHARED_STORAGE(RowNormStorage<kWarps>, shared);
  wait_for_stream();
  const int64_t token = row_index<kWarps>();
  if (token >= p.rows.get()) return;

  Row<kWarps, kVectors> row;
  p.word.with_row(p.ids[token], [&](const auto* source) { load_row(row, source, p.cols, p.whole); });
  UNROLL
  for (int v = 0; v < kVectors; v++) {
    UNROLL
    for (int i = 0; i < kVectorElements; i++) row.values[v][i] *= p.word_scale;
  }
  const auto add = [&](const auto* source) { add_row(row, source, p.cols, p.whole); };
  if (p.position.data != nullptr) p.position.with_row(p.positions[token] + p.position_offset, add);
  if (p.token_type.data != nullptr)
    p.token_type.with_row(p.token_types == nullptr ? 0 : p.token_types[token], add);
  if (p.norm.gamma != nullptr) normalize_row(row, p.norm, p.cols, shared);

  const int64_t first = token * p.out_stride;
  switch (p.out_dtype) {
    case DType::kBF16:
      store_row(static_cast<bf16*>(p.out) + first, row, p.cols, p.whole);
      break;
    case DType::kF16:
      store_row(static_cast<fp16*>(p.out) + first, row, p.cols, p.whole);
      break;
    default:
      store_row(static_cast<float*>(p.out) + first, row, p.cols, p.whole);
      break;
  }
}

Table table_of(const Matrix& matrix) {
  return {matrix.data, matrix.dtype, matrix.stride, static_cast<int32_t>(matrix.rows)};
}

Status enqueue(const EmbedNormArgs& args, LaunchStream stream) {
  const int64_t cols = args.word.cols;
  const bool vectors = cols % kVectorElements == 0;
  const bool whole = vectors && has_aligned_rows(args.word) && has_aligned_rows(args.position) &&
                     has_aligned_rows(args.token_type) && has_aligned_rows(args.out);
  const bool whole_norm = vectors && is_aligned_16(args.gamma) && is_aligned_16(args.beta);
  const Params params{table_of(args.word),
                      table_of(args.position),
                      table_of(args.token_type),
                      args.word_scale,
                      args.ids,
                      args.positions,
                      args.token_types,
                      args.position_offset,
                      args.out.data,
                      args.out.dtype,
                      args.out.stride,
                      {static_cast<int32_t>(args.out.rows), args.rows_on_device},
                      static_cast<int>(cols),
                      whole,
                      {args.kind, args.gamma, args.beta, args.eps, whole_norm}};
  return with_row_shape(cols, [&]<int kWarps, int kVectors>() {
    return launch(embed_norm_kernel<kWarps, kVectors>,
                  {.grid = grid_of(divide_up(args.out.rows, kRowsPerBlock<kWarps>)),
                   .block = kRowThreads<kWarps>,
                   .shared_bytes = sizeof(RowNormStorage<kWarps>),
                   .stream = stream},
                  params);
  });
}

Status check(const EmbedNormArgs& args) {
  const int64_t cols = args.word.cols;
  PADLESS_RETURN_IF_ERROR(check_matrix(args.word, args.word.rows, cols, "word"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.out, args.out.rows, cols, "out"));
  for (const Matrix* table : {&args.word, &args.position, &args.token_type}) {
    PADLESS_CHECK(is_storage(table->dtype), Code::kUnsupported, "word", "an embedding table in ",
                  dtype_name(table->dtype), "; supported: bf16, f16, f32");
  }
  PADLESS_CHECK(is_storage(args.out.dtype), Code::kUnsupported, "out", "embeddings in ",
                dtype_name(args.out.dtype), "; supported: bf16, f16, f32");
  PADLESS_CHECK(args.word.rows > 0 || args.out.rows == 0, Code::kInvalidArgument, "word",
                "the word table is empty");
  for (const auto& [matrix, name] :
       {std::pair{&args.position, "position"}, std::pair{&args.token_type, "token_type"}}) {
    if (matrix->data == nullptr) continue;
    PADLESS_RETURN_IF_ERROR(check_matrix(*matrix, matrix->rows, cols, name));
    PADLESS_CHECK(matrix->rows > 0, Code::kInvalidArgument, name, "the ", name, " table is empty");
  }
  PADLESS_CHECK(args.ids != nullptr || args.out.rows == 0, Code::kInvalidArgument, "ids", "ids are missing");
  PADLESS_CHECK(args.positions != nullptr || args.position.data == nullptr || args.out.rows == 0,
                Code::kInvalidArgument, "positions", "positions are missing; there is a position table");
  PADLESS_CHECK(args.gamma != nullptr || args.beta == nullptr, Code::kInvalidArgument, "gamma",
                "there is a beta without a gamma");
  return Status::ok();
}

}  // namespace

Status embed_norm(const EmbedNormArgs& args, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check(args));
  if (args.out.rows == 0 || args.word.cols == 0) return Status::ok();
  return enqueue(args, stream);
}

}  // namespace padless::cuda
