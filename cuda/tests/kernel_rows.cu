// embed_norm, pool_rows, gather_rows and cast_rows against fp64.
#include "cuda/tests/kernel_support.h"

namespace padless::cuda::test {
namespace {

struct EmbedCase {
  int64_t tokens, cols;
  bool position = true, token_type = true, types_given = true, norm = true, beta = true;
  NormKind kind = NormKind::kLayer;
  int64_t offset = 2, gap = 0, lead = 0;
  float word_scale = 1;
};

// What T-typed inputs give when computed in f32, and in fp64.
template <class Real>
void norm_in(std::vector<Real>& x, const EmbedCase& c, const std::vector<float>& gamma,
             const std::vector<float>& beta) {
  Real mean = 0, squares = 0;
  const Real count = static_cast<Real>(x.size());
  if (c.kind == NormKind::kLayer) {
    for (Real v : x) mean += v / count;
  }
  for (Real v : x) squares += (v - mean) * (v - mean);
  for (size_t i = 0; i < x.size(); i++) {
    x[i] = (x[i] - mean) / std::sqrt(squares / count + Real{1e-5f}) * gamma[i] + (c.beta ? beta[i] : 0.0f);
  }
}

template <class Table, class Out, class Position = Table>
void test_embed(const EmbedCase& c) {
  constexpr int64_t kVocab = 37, kPositions = 19, kTypes = 2;
  const std::string name =
      concat("embed ", type_name<Table>(), " -> ", type_name<Out>(), " [", c.tokens, ", ", c.cols,
             "] position ", c.position, " type ", c.token_type, c.types_given, " norm ", c.norm, " gap ",
             c.gap, " lead ", c.lead, " scale ", c.word_scale);
  Random random(static_cast<uint64_t>(c.tokens * 7 + c.cols));
  TestMatrix<Table> word(kVocab, c.cols, c.gap, c.lead), type(kTypes, c.cols);
  TestMatrix<Position> position(kPositions, c.cols, c.gap);
  word.fill(random);
  position.fill(random);
  type.fill(random);
  TestMatrix<Out> out(c.tokens, c.cols, c.gap);
  std::vector<int32_t> ids, positions, types;
  for (int64_t t = 0; t < c.tokens; t++) {
    ids.push_back(static_cast<int32_t>(random.integer(0, kVocab - 1)));
    positions.push_back(static_cast<int32_t>(random.integer(0, kPositions - 1 - c.offset)));
    types.push_back(static_cast<int32_t>(random.integer(0, kTypes - 1)));
  }
  DeviceBuffer<int32_t> device_ids(ids), device_positions(positions), device_types(types);
  const auto cols = static_cast<size_t>(c.cols);
  const auto gamma = random.vector<float>(cols, 0.5f, 1.5f), beta = random.vector<float>(cols);
  DeviceBuffer<float> device_gamma(gamma), device_beta(beta);
  EmbedNormArgs args;
  args.word = word.view();
  args.word_scale = c.word_scale;
  if (c.position) args.position = position.view();
  if (c.token_type) args.token_type = type.view();
  args.ids = device_ids.data();
  args.positions = device_positions.data();
  if (c.types_given) args.token_types = device_types.data();
  args.position_offset = c.offset;
  args.kind = c.kind;
  if (c.norm) args.gamma = device_gamma.data();
  if (c.norm && c.beta) args.beta = device_beta.data();
  args.eps = 1e-5f;
  args.out = out.view();
  check_ok(embed_norm(args, nullptr), name);
  out.download();
  ErrorRule<Out> rule;
  for (int64_t t = 0; t < c.tokens; t++) {
    const auto index = static_cast<size_t>(t);
    std::vector<double> exact(cols);
    for (int64_t i = 0; i < c.cols; i++) {
      exact[static_cast<size_t>(i)] = c.word_scale * word.value(ids[index], i) +
                                      (c.position ? position.value(positions[index] + c.offset, i) : 0.0) +
                                      (c.token_type ? type.value(c.types_given ? types[index] : 0, i) : 0.0);
    }
    std::vector<float> single(exact.begin(), exact.end());
    if (c.norm) {
      norm_in(exact, c, gamma, beta);
      norm_in(single, c, gamma, beta);
    }
    for (int64_t i = 0; i < c.cols; i++) {
      rule.add(out.value(t, i), rounded<Out>(single[static_cast<size_t>(i)]), exact[static_cast<size_t>(i)]);
    }
  }
  rule.check(name);
  check(out.gaps_untouched(c.tokens), name + ": gaps untouched");
}

void test_embeds() {
  for (int64_t cols : {1, 9, 128, 384, 768, 1024, 1536}) {
    test_embed<bf16, bf16>({.tokens = 11, .cols = cols});
    test_embed<float, fp16>({.tokens = 5, .cols = cols});
  }
  test_embed<fp16, float>({.tokens = 7, .cols = 768});
  test_embed<bf16, bf16, float>({.tokens = 7, .cols = 384});
  test_embed<float, bf16, fp16>({.tokens = 7, .cols = 100});
  test_embed<float, bf16>({.tokens = 7, .cols = 768, .norm = false});
  test_embed<bf16, bf16>({.tokens = 7, .cols = 768, .position = false, .token_type = false, .offset = 0});
  test_embed<bf16, bf16>({.tokens = 7, .cols = 768, .types_given = false});
  test_embed<bf16, bf16>({.tokens = 7, .cols = 768, .beta = false, .kind = NormKind::kRms});
  test_embed<bf16, bf16>({.tokens = 7, .cols = 640, .kind = NormKind::kRms, .word_scale = 25.25f});
  test_embed<bf16, bf16>({.tokens = 7, .cols = 384, .gap = 3});
  test_embed<bf16, bf16>({.tokens = 7, .cols = 384, .lead = 1});
  test_embed<bf16, bf16>({.tokens = 0, .cols = 384});
}

struct PoolCase {
  std::vector<int32_t> lengths;
  int64_t cols;
  int64_t gap = 0, spare_rows = 0;
  std::vector<int32_t> skip = {};
  int32_t outside = 0;  // the device's prefix sums begin before the first row, and end past the last
};

std::vector<int32_t> prefix_sums(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> sums{0};
  for (int32_t length : lengths) sums.push_back(sums.back() + length);
  return sums;
}

double pooled(PoolMode mode, const std::vector<double>& x, size_t skip) {
  const size_t n = x.size();
  if (n == 0) return 0;
  const size_t first = std::min(skip, n);
  double sum = 0, weights = 0, best = -INFINITY;
  for (size_t i = first; i < n; i++) {
    const double weight = mode == PoolMode::kWeightedMean ? static_cast<double>(i + 1) : 1.0;
    sum += weight * x[i];
    weights += weight;
    best = std::isnan(best) || best >= x[i] ? best : x[i];
  }
  switch (mode) {
    case PoolMode::kCls:
      return x[first == n ? 0 : first];
    case PoolMode::kLastToken:
      return first == n ? 0 : x[n - 1];
    case PoolMode::kMax:
      return best;
    case PoolMode::kMeanSqrtLength:
      return sum / std::sqrt(std::max(weights, 1.0));
    default:
      return sum / std::max(weights, 1.0);
  }
}

constexpr PoolMode kModes[] = {PoolMode::kCls,       PoolMode::kMean,         PoolMode::kMax,
                               PoolMode::kLastToken, PoolMode::kWeightedMean, PoolMode::kMeanSqrtLength};

template <class T>
void test_pool(const PoolCase& c, bool nan_neighbour = false) {
  Random random(static_cast<uint64_t>(c.cols) + c.lengths.size());
  const auto sums = prefix_sums(c.lengths);
  TestMatrix<T> in(sums.back(), c.cols, c.gap, 0, c.spare_rows);  // the spare rows are NaN
  in.fill(random);
  if (nan_neighbour) {
    for (int64_t t = sums[1]; t < sums[2]; t++) {
      for (int64_t i = 0; i < c.cols; i++) in.at(t, i) = TestMatrix<T>::nan();
    }
    in.upload();
  }
  auto device_sums = sums;
  device_sums.front() -= c.outside;
  device_sums.back() += c.outside;
  DeviceBuffer<int32_t> cu_seqlens(device_sums), skip(c.skip);
  const auto batch = static_cast<int64_t>(c.lengths.size());
  for (PoolMode mode : kModes) {
    TestMatrix<float> out(batch, c.cols, 3);
    PoolRowsArgs args{mode, in.view(), out.view(), cu_seqlens.data(), c.skip.empty() ? nullptr : skip.data()};
    const std::string name = concat("pool ", type_name<T>(), " mode ", static_cast<int>(mode), " B ", batch,
                                    " T ", sums.back(), " cols ", c.cols, " gap ", c.gap, " skip ",
                                    c.skip.size(), nan_neighbour ? " NaN neighbour" : "");
    check_ok(pool_rows(args, nullptr), name);
    out.download();
    ErrorRule<float> rule;
    for (int64_t b = 0; b < batch; b++) {
      for (int64_t i = 0; i < c.cols; i++) {
        std::vector<double> column;
        for (int32_t t = sums[static_cast<size_t>(b)]; t < sums[static_cast<size_t>(b) + 1]; t++) {
          column.push_back(in.value(t, i));
        }
        const double expected =
            pooled(mode, column, c.skip.empty() ? 0 : static_cast<size_t>(c.skip[static_cast<size_t>(b)]));
        rule.add(out.value(b, i), expected + 1e-6 * std::fabs(expected) + 1e-6, expected);
      }
    }
    rule.check(name);
    check(out.gaps_untouched(batch), name + ": gaps untouched");
  }
}

void test_pools() {
  for (int64_t cols : {1, 8, 100, 256, 384, 1000}) {
    test_pool<bf16>({.lengths = {3, 0, 1, 17, 64, 5}, .cols = cols});
    test_pool<float>({.lengths = {8, 9, 0}, .cols = cols, .gap = cols % 2 == 0 ? 0 : 5});
  }
  test_pool<fp16>({.lengths = {33, 1}, .cols = 768, .gap = 8});
  test_pool<bf16>({.lengths = {}, .cols = 64});
  test_pool<bf16>({.lengths = {0, 0}, .cols = 64});
  test_pool<bf16>({.lengths = {4, 3}, .cols = 64, .spare_rows = 5});
  test_pool<bf16>({.lengths = {4, 3}, .cols = 64, .spare_rows = 5, .outside = 5});
  test_pool<bf16>({.lengths = {6, 4, 0, 9, 3}, .cols = 72, .skip = {2, 4, 1, 0, 7}});
  test_pool<bf16>({.lengths = {6, 4, 7}, .cols = 72}, true);
}

// Rows of `out` past the true count stay as they are.
void test_pool_rows_on_device() {
  Random random(5);
  const std::vector<int32_t> sums{0, 3, 7, -1, -1};
  TestMatrix<bf16> in(7, 72);
  in.fill(random);
  TestMatrix<float> all(2, 72), some(4, 72);
  DeviceBuffer<int32_t> cu_seqlens(sums), count(std::vector<int32_t>{2});
  check_ok(pool_rows({PoolMode::kMean, in.view(), all.view(), cu_seqlens.data()}, nullptr), "pool");
  check_ok(
      pool_rows({PoolMode::kMean, in.view(), some.view(), cu_seqlens.data(), nullptr, count.data()}, nullptr),
      "pool of a capacity");
  all.download();
  some.download();
  bool equal = true;
  for (int64_t b = 0; b < 2; b++) {
    for (int64_t i = 0; i < 72; i++) equal &= all.value(b, i) == some.value(b, i);
  }
  check(equal && some.gaps_untouched(2), "pooling with the true count on the device");
}

template <class In, class Out>
void test_gather(int64_t rows, int64_t cols, int64_t gap) {
  Random random(static_cast<uint64_t>(rows));
  TestMatrix<In> in(23, cols, gap);
  in.fill(random);
  TestMatrix<Out> out(rows, cols, gap);
  std::vector<int32_t> indices;
  for (int64_t i = 0; i < rows; i++) indices.push_back(static_cast<int32_t>(random.integer(-1, 22)));
  DeviceBuffer<int32_t> device_indices(indices);
  const std::string name =
      concat("gather ", type_name<In>(), " -> ", type_name<Out>(), " ", rows, " x ", cols, " gap ", gap);
  check_ok(gather_rows({in.view(), out.view(), device_indices.data()}, nullptr), name);
  out.download();
  bool equal = true;
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t c = 0; c < cols; c++) {
      const int32_t index = indices[static_cast<size_t>(i)];
      equal &= out.value(i, c) == (index < 0 ? 0.0 : rounded<Out>(in.value(index, c)));
    }
  }
  check(equal, name);
  check(out.gaps_untouched(rows), name + ": gaps untouched");
}

// Rows past the true count are NaN and must not be written.
template <class In, class Out>
void test_cast(int64_t cols, int64_t gap) {
  constexpr int32_t kRows = 7;
  Random random(static_cast<uint64_t>(cols));
  TestMatrix<In> in(kRows + 2, cols, gap);
  TestMatrix<Out> out(kRows + 2, cols, gap);
  in.fill(random, -300, 300);
  DeviceBuffer<int32_t> count(std::vector<int32_t>{kRows});
  const std::string name =
      concat("cast ", type_name<In>(), " -> ", type_name<Out>(), " ", cols, " gap ", gap);
  check_ok(cast_rows({in.view(), out.view(), count.data()}, nullptr), name);
  out.download();
  bool equal = true;
  for (int64_t i = 0; i < kRows; i++) {
    for (int64_t c = 0; c < cols; c++) equal &= out.value(i, c) == rounded<Out>(in.value(i, c));
  }
  check(equal, name);
  check(out.gaps_untouched(kRows), name + ": rows past the count untouched");
}

void test_bad_input() {
  TestMatrix<bf16> in(4, 64), out(2, 64);
  TestMatrix<float> pooled_rows(2, 64);
  DeviceBuffer<int32_t> indices(std::vector<int32_t>{0, 2});
  GatherRowsArgs gather{in.view(), out.view(), nullptr};
  check_code(gather_rows(gather, nullptr), Code::kInvalidArgument, "gather without indices");
  gather = {in.view(), out.view(), indices.data()};
  gather.out.cols = 32;
  check_code(gather_rows(gather, nullptr), Code::kInvalidArgument, "gather of other columns");
  check_code(cast_rows({in.view(), out.view()}, nullptr), Code::kInvalidArgument, "cast to other rows");
  check_code(pool_rows({PoolMode::kMean, in.view(), out.view(), indices.data(), nullptr}, nullptr),
             Code::kInvalidArgument, "pooling into bf16");
  check_code(pool_rows({PoolMode::kMean, in.view(), pooled_rows.view(), nullptr, nullptr}, nullptr),
             Code::kInvalidArgument, "pooling without cu_seqlens");
  EmbedNormArgs embed;
  embed.word = in.view();
  embed.out = out.view();
  check_code(embed_norm(embed, nullptr), Code::kInvalidArgument, "embedding without ids");
  embed.ids = indices.data();
  embed.position = in.view();
  check_code(embed_norm(embed, nullptr), Code::kInvalidArgument, "embedding without positions");
  embed.positions = indices.data();
  embed.position.dtype = DType::kI32;
  check_code(embed_norm(embed, nullptr), Code::kUnsupported, "a table of integers");
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_embeds();
  test::test_pools();
  test::test_pool_rows_on_device();
  for (int64_t cols : {1, 8, 100, 384, 768}) {
    test::test_gather<bf16, bf16>(9, cols, 0);
    test::test_gather<bf16, float>(9, cols, 8);
    test::test_gather<float, fp16>(3, cols, 5);
  }
  test::test_gather<bf16, bf16>(0, 64, 0);
  for (int64_t cols : {1, 8, 100, 384}) {
    test::test_cast<float, bf16>(cols, 0);
    test::test_cast<float, fp16>(cols, 8);
    test::test_cast<bf16, float>(cols, 5);
  }
  test::test_bad_input();
  return test::report("kernel_rows");
}
