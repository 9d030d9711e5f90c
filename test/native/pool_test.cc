// Pooling and row gathering against plain double-precision loops.
#include "lib/engine/cpu/pool.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "test/native/cpu_test.h"

namespace padless::test {
namespace {

const PoolMode kModes[] = {PoolMode::kCls,       PoolMode::kMean,         PoolMode::kMax,
                           PoolMode::kLastToken, PoolMode::kWeightedMean, PoolMode::kMeanSqrtLength};

/** sentence-transformers' Pooling with a mask whose first `skip` entries are 0, for one column of a sequence.
 */
double pooled(PoolMode mode, const std::vector<double>& column, int64_t skip) {
  const auto length = static_cast<int64_t>(column.size());
  if (length == 0) return 0;
  const int64_t first = std::min(skip, length);
  double sum = 0;
  double weights = 0;
  double weighted = 0;
  double top = -std::numeric_limits<double>::infinity();
  for (int64_t t = first; t < length; ++t) {
    sum += column[t];
    weighted += static_cast<double>(t + 1) * column[t];
    weights += static_cast<double>(t + 1);
    top = std::max(top, column[t]);
  }
  const double count = std::max(static_cast<double>(length - first), 1e-9);
  switch (mode) {
    case PoolMode::kCls:
      return column[first == length ? 0 : first];
    case PoolMode::kMean:
      return sum / count;
    case PoolMode::kMax:
      return top;
    case PoolMode::kLastToken:
      return first == length ? 0 : column[length - 1];
    case PoolMode::kWeightedMean:
      return weighted / std::max(weights, 1e-9);
    case PoolMode::kMeanSqrtLength:
      return sum / std::sqrt(count);
  }
  return 0;
}

void test_against_reference() {
  const std::vector<int32_t> lengths = {0, 1, 2, 17, 0, 512, 63, 5, 129, 3};
  const std::vector<int32_t> skips = {0, 0, 1, 4, 3, 100, 63, 9, 0, 2};
  const std::vector<int32_t> cu_seqlens = prefix_sums(lengths);
  const int64_t tokens = cu_seqlens.back();
  const auto sequences = static_cast<int64_t>(lengths.size());
  uint64_t salt = 0;
  for (int64_t cols : {1, 5, 16, 96, 384}) {
    const int64_t in_stride = cols + 3;
    const int64_t out_stride = cols + 2;
    std::vector<float> in = normal_values(tokens * in_stride, ++salt);
    for (PoolMode mode : kModes) {
      for (bool with_skip : {false, true}) {
        for (const CpuContext& context : contexts(3)) {
          std::vector<float> out(sequences * out_stride, 77.f);
          PackedBatch batch;
          batch.cu_seqlens = cu_seqlens;
          PoolArgs args;
          args.mode = mode;
          args.in = {in.data(), DType::kF32, tokens, cols, in_stride};
          args.out = {out.data(), DType::kF32, sequences, cols, out_stride};
          if (with_skip) args.skip = skips;
          const std::string what = concat("mode ", static_cast<int>(mode), " cols ", cols,
                                          with_skip ? " skip" : "", " on ", isa_name(context.isa));
          check_status(pool_cpu(context, batch, args), Code::kOk, "", what);
          for (int64_t b = 0; b < sequences; ++b) {
            for (int64_t i = 0; i < cols; ++i) {
              std::vector<double> column;
              for (int32_t t = 0; t < lengths[b]; ++t)
                column.push_back(in[(cu_seqlens[b] + t) * in_stride + i]);
              const double wanted = pooled(mode, column, with_skip ? skips[b] : 0);
              const double got = out[b * out_stride + i];
              check(got == wanted || std::abs(got - wanted) <= 1e-5 * (1 + std::abs(wanted)),
                    concat(what, ": [", b, ", ", i, "] is ", got, ", expected ", wanted));
            }
            for (int64_t i = cols; i < out_stride; ++i) {
              check(out[b * out_stride + i] == 77.f, concat(what, ": wrote beyond row ", b));
            }
          }
        }
      }
    }
  }
}

void test_same_bits() {
  const std::vector<int32_t> lengths = {400, 3, 77, 260, 1, 90};
  const std::vector<int32_t> cu_seqlens = prefix_sums(lengths);
  const int64_t cols = 384;
  std::vector<float> in = normal_values(cu_seqlens.back() * cols, 100);
  for (PoolMode mode : kModes) {
    for (const CpuContext& context : contexts(1)) {
      std::vector<float> first;
      for (int threads = 1; threads <= 4; ++threads) {
        CpuContext wider = context;
        wider.threads = threads;
        std::vector<float> out(lengths.size() * cols);
        PackedBatch batch;
        batch.cu_seqlens = cu_seqlens;
        PoolArgs args;
        args.mode = mode;
        args.in = matrix_of(in, cu_seqlens.back(), cols);
        args.out = matrix_of(out, static_cast<int64_t>(lengths.size()), cols);
        check_status(pool_cpu(wider, batch, args), Code::kOk, "", "same bits");
        if (first.empty()) first = out;
        check(std::memcmp(first.data(), out.data(), out.size() * sizeof(float)) == 0,
              concat("mode ", static_cast<int>(mode), ": other bits with ", threads, " threads"));
      }
    }
  }
}

/** A NaN shows in its own sequence, also in the maximum, and nowhere else. */
void test_nan() {
  const std::vector<int32_t> cu_seqlens = {0, 3, 6, 9};
  for (PoolMode mode :
       {PoolMode::kMean, PoolMode::kMax, PoolMode::kWeightedMean, PoolMode::kMeanSqrtLength}) {
    std::vector<float> in = normal_values(9 * 4, 200);
    for (int i = 0; i < 4; ++i) in[4 * 4 + i] = std::nanf("");
    std::vector<float> out(3 * 4);
    PackedBatch batch;
    batch.cu_seqlens = cu_seqlens;
    PoolArgs args;
    args.mode = mode;
    args.in = matrix_of(in, 9, 4);
    args.out = matrix_of(out, 3, 4);
    check_status(pool_cpu(contexts(1).back(), batch, args), Code::kOk, "", "NaN");
    for (int i = 0; i < 4; ++i) {
      check(!std::isnan(out[i]) && std::isnan(out[4 + i]) && !std::isnan(out[8 + i]),
            concat("mode ", static_cast<int>(mode), " mislays a NaN"));
    }
  }
}

void test_refusals() {
  const std::vector<int32_t> cu_seqlens = {0, 2, 5};
  std::vector<float> in(5 * 8);
  std::vector<float> out(2 * 8);
  const std::vector<int32_t> short_skip = {1};
  const std::vector<int32_t> negative_skip = {0, -1};
  const auto refused = [&](const std::string& field, const auto& spoil) {
    PackedBatch batch;
    batch.cu_seqlens = cu_seqlens;
    PoolArgs args;
    args.in = matrix_of(in, 5, 8);
    args.out = matrix_of(out, 2, 8);
    spoil(args);
    check_status(pool_cpu(contexts(1).back(), batch, args), Code::kInvalidArgument, field,
                 concat("bad ", field));
  };
  refused("in", [](PoolArgs& args) { args.in.rows = 4; });
  refused("in", [](PoolArgs& args) { args.in.dtype = DType::kBF16; });
  refused("out", [](PoolArgs& args) { args.out.rows = 1; });
  refused("out", [](PoolArgs& args) { args.out.cols = 7; });
  refused("skip", [&](PoolArgs& args) { args.skip = short_skip; });
  refused("skip", [&](PoolArgs& args) { args.skip = negative_skip; });
}

void test_gather() {
  const int64_t cols = 37;
  std::vector<float> in = normal_values(20 * cols, 300);
  const std::vector<int32_t> indices = {19, 0, -1, 7};
  std::vector<float> out(4 * cols, 77.f);
  const std::vector<float> zeros(cols);
  const CpuContext context = contexts(2).back();
  check_status(gather_rows_cpu(context, matrix_of(in, 20, cols), indices, matrix_of(out, 4, cols)), Code::kOk,
               "", "gather");
  for (size_t i = 0; i < indices.size(); ++i) {
    const float* wanted = indices[i] < 0 ? zeros.data() : &in[indices[i] * cols];
    check(std::memcmp(&out[i * cols], wanted, cols * sizeof(float)) == 0, concat("gathered row ", i));
  }
  check_status(
      gather_rows_cpu(context, matrix_of(in, 20, cols), std::vector<int32_t>{3, 20}, matrix_of(out, 4, cols)),
      Code::kInvalidArgument, "indices", "index beyond the rows");
  check_status(
      gather_rows_cpu(context, matrix_of(in, 20, cols), std::vector<int32_t>{-2}, matrix_of(out, 4, cols)),
      Code::kInvalidArgument, "indices", "index below -1");
  check_status(gather_rows_cpu(context, matrix_of(in, 20, cols), {}, matrix_of(out, 0, cols)), Code::kOk, "",
               "gather nothing");
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless::test;
  start(argc, argv);
  test_against_reference();
  test_same_bits();
  test_nan();
  test_refusals();
  test_gather();
  return finish();
}
