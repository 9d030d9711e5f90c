#include "lib/engine/cpu/pool.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "lib/engine/cpu/checks.h"
#include "lib/engine/cpu/parallel_rows.h"

namespace padless {
namespace {

/** Tokens [first, last) of `in` count; the sequence starts at `begin`. */
struct Counted {
  int64_t begin;
  int64_t first;
  int64_t last;
  bool empty() const { return first == last; }
};

void copy_row(const Matrix& in, int64_t row, float* out) {
  std::memcpy(out, in.row<const float>(row), in.cols * sizeof(float));
}

void max_rows(const Matrix& in, const Counted& tokens, float* out) {
  std::fill_n(out, in.cols, -std::numeric_limits<float>::infinity());
  for (int64_t t = tokens.first; t < tokens.last; ++t) {
    const float* row = in.row<const float>(t);
    for (int64_t i = 0; i < in.cols; ++i) out[i] = out[i] >= row[i] || out[i] != out[i] ? out[i] : row[i];
  }
}

/** out = (sum over the tokens of weight(t) * row t) / divisor. */
template <class Weight>
void sum_rows(const Matrix& in, const Counted& tokens, const Weight& weight, float divisor, float* out) {
  std::fill_n(out, in.cols, 0.f);
  for (int64_t t = tokens.first; t < tokens.last; ++t) {
    const float* row = in.row<const float>(t);
    const float factor = weight(t);
    for (int64_t i = 0; i < in.cols; ++i) out[i] += factor * row[i];
  }
  for (int64_t i = 0; i < in.cols; ++i) out[i] /= divisor;
}

void pool_sequence(PoolMode mode, const Matrix& in, const Counted& tokens, float* out) {
  const auto count = static_cast<float>(std::max<int64_t>(tokens.last - tokens.first, 1));
  const auto one = [](int64_t) { return 1.f; };
  const auto position = [&](int64_t t) { return static_cast<float>(t - tokens.begin + 1); };
  switch (mode) {
    case PoolMode::kCls:
      return copy_row(in, tokens.empty() ? tokens.begin : tokens.first, out);
    case PoolMode::kLastToken:
      if (tokens.empty()) return std::fill_n(out, in.cols, 0.f), void();
      return copy_row(in, tokens.last - 1, out);
    case PoolMode::kMax:
      return max_rows(in, tokens, out);
    case PoolMode::kMean:
      return sum_rows(in, tokens, one, count, out);
    case PoolMode::kMeanSqrtLength:
      return sum_rows(in, tokens, one, std::sqrt(count), out);
    case PoolMode::kWeightedMean: {
      float weights = 0;
      for (int64_t t = tokens.first; t < tokens.last; ++t) weights += position(t);
      return sum_rows(in, tokens, position, std::max(weights, 1.f), out);
    }
  }
}

}  // namespace

Status pool_cpu(const CpuContext& context, const PackedBatch& batch, const PoolArgs& args) {
  const int64_t sequences = batch.sequences();
  PADLESS_RETURN_IF_ERROR(check_matrix(args.in, batch.tokens(), args.in.cols, "in"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.out, sequences, args.in.cols, "out"));
  PADLESS_CHECK(args.skip.empty() || static_cast<int64_t>(args.skip.size()) == sequences,
                Code::kInvalidArgument, "skip", "skip has ", args.skip.size(), " entries for ", sequences,
                " sequences");
  for (size_t b = 0; b < args.skip.size(); ++b) {
    PADLESS_CHECK(args.skip[b] >= 0, Code::kInvalidArgument, "skip", "skip[", b, "] is ", args.skip[b],
                  ", less than 0");
  }
  const int64_t tokens_each = sequences == 0 ? 0 : (batch.tokens() + sequences - 1) / sequences;
  parallel_rows(sequences, args.in.cols * tokens_each, context.threads, [&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) {
      const int64_t begin = batch.cu_seqlens[b];
      const int64_t end = batch.cu_seqlens[b + 1];
      const int64_t skip = args.skip.empty() ? 0 : args.skip[b];
      float* out = args.out.row<float>(b);
      if (begin == end) {
        std::fill_n(out, args.in.cols, 0.f);
      } else {
        pool_sequence(args.mode, args.in, {begin, std::min(begin + skip, end), end}, out);
      }
    }
  });
  return Status::ok();
}

Status gather_rows_cpu(const CpuContext& context, const Matrix& in, std::span<const int32_t> indices,
                       const Matrix& out) {
  const auto count = static_cast<int64_t>(indices.size());
  PADLESS_RETURN_IF_ERROR(check_matrix(in, in.rows, in.cols, "in"));
  PADLESS_RETURN_IF_ERROR(check_matrix(out, count, in.cols, "out"));
  for (int64_t i = 0; i < count; ++i) {
    PADLESS_CHECK(indices[i] >= -1 && indices[i] < in.rows, Code::kInvalidArgument, "indices", "indices[", i,
                  "] is ", indices[i], "; there are ", in.rows, " rows");
  }
  parallel_rows(count, in.cols, context.threads, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      float* to = out.row<float>(i);
      if (indices[i] < 0) {
        std::fill_n(to, in.cols, 0.f);
      } else {
        copy_row(in, indices[i], to);
      }
    }
  });
  return Status::ok();
}

Status read_rows_cpu(const CpuContext& context, const Matrix& matrix, float* out) {
  PADLESS_RETURN_IF_ERROR(check_matrix(matrix, matrix.rows, matrix.cols, "in"));
  PADLESS_CHECK(out != nullptr || matrix.rows == 0 || matrix.cols == 0, Code::kInvalidArgument, "out",
                "out has no data");
  parallel_rows(matrix.rows, matrix.cols, context.threads, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) copy_row(matrix, i, out + i * matrix.cols);
  });
  return Status::ok();
}

}  // namespace padless
