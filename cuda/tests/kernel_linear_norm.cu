// linear_norm() against fp64: every tile, ragged rows and columns, rows counted on the device, persistent
// grids of few blocks, NaN in rows, and that a row's bits depend on nothing else.
#include <cstring>

#include "cuda/gemm/sm90/tiles.h"
#include "cuda/padless_linear_norm.h"
#include "cuda/tests/kernel_support.h"
#include "cuda/tests/norm_reference.h"

namespace padless::cuda::test {
namespace {

enum class Place { kApart, kInOut, kInSum };  // of the residual

struct NormedCase {
  int64_t m, n, k;
  int tile = 0;
  NormKind kind = NormKind::kLayer;
  bool bias = true, residual = true, beta = true, sum = false;
  Place place = Place::kApart;
  int64_t gap = 0;
  int32_t rows = -1;  // on the device; -1: not given
  int blocks = 0;
  float offset = 0;  // of the bias: a mean much larger than the deviation
  std::string name() const {
    return concat("[", m, ", ", n, ", ", k, "] tile ", tile, kind == NormKind::kLayer ? " layer" : " rms",
                  bias ? " bias" : "", residual ? " residual" : "", beta ? " beta" : "", sum ? " sum" : "",
                  " place ", static_cast<int>(place), " gap ", gap, " rows ", rows, " blocks ", blocks,
                  " offset ", offset);
  }
};

// Rows of the input past the true count hold NaN, and so does row 1 where there are more than two: no other
// row shows it. The same-precision reference is linear() and then residual_norm(): the sum is rounded between
// them.
template <class T>
void run_case(const NormedCase& c) {
  const std::string name = concat("linear_norm ", type_name<T>(), " ", c.name());
  Random random(static_cast<uint64_t>(c.m * 131 + c.n * 7 + c.k));
  const int64_t depth_gap = (8 - c.k % 8) % 8 + c.gap;
  TestMatrix<T> in(c.m, c.k, depth_gap), weight(c.n, c.k, depth_gap), residual(c.m, c.n, c.gap),
      out(c.m, c.n, c.gap), sum(c.m, c.n, c.gap);
  in.fill(random);
  weight.fill(random);
  residual.fill(random);
  const int64_t rows = c.rows < 0 ? c.m : c.rows;
  const int64_t poisoned = rows > 2 ? 1 : -1;
  for (int64_t r = 0; r < c.m; r++) {
    if (r < rows && r != poisoned) continue;
    for (int64_t i = 0; i < c.k; i++) in.at(r, i) = TestMatrix<T>::nan();
  }
  in.upload();
  const auto columns = static_cast<size_t>(c.n);
  const auto bias = random.vector<float>(columns, c.offset - 1, c.offset + 1),
             gamma = random.vector<float>(columns, 0.5f, 1.5f), beta = random.vector<float>(columns);
  DeviceBuffer<float> device_bias(bias), device_gamma(gamma), device_beta(beta);
  DeviceBuffer<int32_t> count(std::vector<int32_t>{c.rows});
  TestMatrix<T>& written = c.place == Place::kInOut ? residual : out;
  TestMatrix<T>& carried = c.place == Place::kInSum ? residual : sum;
  std::vector<double> residuals;  // before the call: it may overwrite them
  for (int64_t r = 0; r < c.m; r++) {
    for (int64_t i = 0; i < c.n; i++) residuals.push_back(c.residual ? residual.value(r, i) : 0.0);
  }
  LinearNormArgs args;
  args.in = in.view();
  args.weight = weight.view();
  if (c.bias) args.bias = device_bias.data();
  if (c.residual) args.residual = residual.view();
  args.kind = c.kind;
  args.gamma = device_gamma.data();
  if (c.beta) args.beta = device_beta.data();
  args.eps = 1e-5f;
  args.out = written.view();
  if (c.sum) args.sum = carried.view();
  if (c.rows >= 0) args.rows_on_device = count.data();
  check_ok(linear_norm(args, {c.tile, c.blocks}, nullptr), name);
  written.download();
  if (c.sum) carried.download();

  const std::vector<double> in_values = in.values(), weight_values = weight.values();
  ErrorRule<T> out_rule, sum_rule;
  bool is_nan = true;
  for (int64_t r = 0; r < rows; r++) {
    if (r == poisoned) {
      for (int64_t i = 0; i < c.n; i++) is_nan &= std::isnan(written.value(r, i));
      continue;
    }
    std::vector<double> exact(columns);
    std::vector<float> stored(columns);
    for (size_t i = 0; i < columns; i++) {
      const auto col = static_cast<int64_t>(i);
      exact[i] = residuals[static_cast<size_t>(r) * columns + i] + (c.bias ? bias[i] : 0.0);
      const double *const a = in_values.data() + r * c.k, *const b = weight_values.data() + col * c.k;
      for (int64_t k = 0; k < c.k; k++) exact[i] += a[k] * b[k];
      stored[i] = static_cast<float>(rounded<T>(exact[i]));
      if (c.sum) sum_rule.add(carried.value(r, col), rounded<T>(exact[i] + 1e-6), exact[i]);
    }
    normalize(exact, c.kind, args.eps, gamma, beta, c.beta);
    normalize(stored, c.kind, args.eps, gamma, beta, c.beta);
    for (size_t i = 0; i < columns; i++) {
      out_rule.add(written.value(r, static_cast<int64_t>(i)), rounded<T>(double{stored[i]}), exact[i]);
    }
  }
  out_rule.check(name);
  if (c.sum) sum_rule.check(name + ", sum");
  check(is_nan, name + ": a row of NaN stays one");
  check(c.place == Place::kInOut || written.gaps_untouched(rows), name + ": nothing written outside of out");
  check(!c.sum || c.place == Place::kInSum || carried.gaps_untouched(rows),
        name + ": nothing written outside of sum");
}

// Clusters of eight blocks have 3072 threads, too many for a sanitizer's memory: quick tests keep to four.
int tiles_of(bool quick) { return quick ? 2 : kNormTileCount; }

template <class T>
void test_tiles(int tiles, bool all) {
  for (int tile = 0; tile < tiles; tile++) {
    const PersistentTile& shape = kNormTiles[tile];
    const int64_t most = norm_tile_columns(shape), rows = shape.rows * shape.row_blocks;
    const auto run = [&](NormedCase c) {
      c.tile = tile;
      run_case<T>(c);
    };
    run({.m = 70, .n = most, .k = 72});
    run({.m = 1, .n = most - 8, .k = 8, .sum = true});
    run({.m = 33, .n = shape.cols + 8, .k = 200, .kind = NormKind::kRms, .beta = false, .sum = true});
    run({.m = 9, .n = 8, .k = 64, .gap = 8});  // blocks without a column of the matrix
    run({.m = 40, .n = 64, .k = 64, .rows = 0});
    run({.m = 2 * rows, .n = 40, .k = 72, .rows = 21});  // clusters without a row
    if (!all) continue;
    run({.m = 19, .n = shape.cols, .k = 130, .bias = false, .residual = false, .gap = 16});
    run({.m = 12, .n = 72, .k = 64, .place = Place::kInOut});
    run({.m = 12, .n = 72, .k = 64, .sum = true, .place = Place::kInSum});
    run({.m = 30, .n = most, .k = 64, .offset = 60});
    // The ring, both warpgroups and the exchanges run over tiles' ends.
    const int blocks = shape.cluster();
    run({.m = 2 * rows + 3, .n = shape.cols + 16, .k = 136, .sum = true, .blocks = blocks});
    run({.m = 5 * rows, .n = 24, .k = 72, .rows = static_cast<int32_t>(4 * rows + 1), .blocks = blocks});
    run({.m = 3 * rows, .n = 24, .k = 8, .blocks = 2 * blocks});
  }
}

// A row has the same bits in every tile of as many columns, beside any other rows, and every time.
void test_bits(bool quick) {
  constexpr int64_t kRows = 300, kN = 200, kDepth = 136;
  Random random(5);
  TestMatrix<bf16> in(kRows, kDepth), weight(kN, kDepth), residual(kRows, kN);
  in.fill(random);
  weight.fill(random);
  residual.fill(random);
  DeviceBuffer<float> gamma(random.vector<float>(kN));
  const auto run = [&](int64_t first, int64_t rows, LinearNormPlan plan) {
    auto out = std::make_unique<TestMatrix<bf16>>(rows, kN);
    LinearNormArgs args;
    args.in = in.view();
    args.in.data = args.in.row<bf16>(first);
    args.weight = weight.view();
    args.residual = residual.view();
    args.residual.data = args.residual.row<bf16>(first);
    args.in.rows = args.residual.rows = rows;
    args.gamma = gamma.data();
    args.out = out->view();
    check_ok(linear_norm(args, plan, nullptr), "bits");
    out->download();
    return out;
  };
  for (int tile = 0; tile < tiles_of(quick); tile += 2) {
    const auto same_rows = [&](TestMatrix<bf16>& a, TestMatrix<bf16>& b, int64_t first) {
      bool same = true;
      for (int64_t r = 0; r < a.rows(); r++)
        same &= std::memcmp(&a.at(r, 0), &b.at(first + r, 0), kN * sizeof(bf16)) == 0;
      return same;
    };
    check(norm_tile_columns(kNormTiles[tile]) == norm_tile_columns(kNormTiles[tile + 1]), "pairs of tiles");
    const auto all = run(0, kRows, {tile});
    check(same_rows(*run(0, kRows, {tile, 1}), *all, 0), concat("tile ", tile, " again, on one cluster"));
    check(same_rows(*run(133, 71, {tile + 1}), *all, 133), concat("71 rows in tile ", tile + 1));
    check(same_rows(*run(299, 1, {tile + 1}), *all, 299), concat("a row alone in tile ", tile + 1));
  }
}

LinearNormPlan plan_of(int64_t m, int64_t n, int64_t k, const DeviceProperties& device,
                       NormFusion fusion = NormFusion::kAuto, bool batch_invariant = false,
                       bool sum = false) {
  TestMatrix<bf16> any(1, 8);
  LinearNormArgs args;
  args.in = {any.view().data, DType::kBF16, m, k, k};
  args.weight = {any.view().data, DType::kBF16, n, k, k};
  args.out = {any.view().data, DType::kBF16, m, n, n};
  if (sum) args.sum = args.out;
  return plan_linear_norm(args, device, {.split_k = !batch_invariant}, fusion);
}

void test_plans() {
  const DeviceProperties h100{132, 90, 227 * 1024, 228 * 1024, 65536},
      blackwell{148, 100, 227 * 1024, 228 * 1024, 65536};
  const auto always = NormFusion::kAlways;
  const LinearNormPlan large = plan_of(16384, 768, 768, h100);
  check(large.fuses() && kNormTiles[large.tile].rows == 128 && large.blocks == 128, "BERT-base, many tokens");
  check(plan_of(16384, 768, 768, h100, NormFusion::kAuto, false, true).fuses(), "and with the sum");
  check(!plan_of(16384, 768, 768, h100, NormFusion::kNever).fuses(), "not where it is forbidden");
  check(!plan_of(16384, 768, 768, h100, NormFusion::kAuto, true).fuses(), "nor where bits must not change");
  check(plan_of(1, 768, 768, h100, always, true).fuses(), "unless all batches do so");
  check(!plan_of(16384, 1032, 768, h100, always).fuses(), "rows that no cluster holds");
  check(!plan_of(16384, 764, 768, h100, always).fuses(), "columns that are no vectors");
  check(!plan_of(16384, 768, 770, h100, always).fuses(), "misaligned rows");
  check(!plan_of(16384, 768, 768, blackwell, always).fuses(), "other GPUs");
  for (const int64_t n : {8, 384, 512, 768, 1024}) {
    const auto columns = [&](int64_t m) {
      return norm_tile_columns(kNormTiles[plan_of(m, n, 768, h100, always).tile]);
    };
    check(columns(1) == columns(300) && columns(1) == columns(100000) && columns(1) >= n,
          concat("tiles of ", n, " columns for every number of rows"));
  }
}

void test_bad_input() {
  TestMatrix<bf16> in(4, 64), weight(16, 64), out(4, 16), narrow(4, 8), odd(4, 16, 1);
  TestMatrix<fp16> other(4, 16);
  DeviceBuffer<float> gamma(std::vector<float>(16, 1.0f));
  LinearNormArgs good;
  good.in = in.view();
  good.weight = weight.view();
  good.gamma = gamma.data();
  good.out = out.view();
  const auto expect = [&](Code code, const char* what, auto change, LinearNormPlan plan = {0}) {
    LinearNormArgs bad = good;
    change(bad);
    check_code(linear_norm(bad, plan, nullptr), code, what);
  };
  expect(Code::kOk, "as it is", [](auto&) {});
  expect(Code::kOk, "no rows", [](auto& a) { a.in.rows = a.out.rows = 0; });
  expect(Code::kInvalidArgument, "narrow sum", [&](auto& a) { a.sum = narrow.view(); });
  expect(Code::kInvalidArgument, "dtype of residual", [&](auto& a) { a.residual = other.view(); });
  expect(Code::kInvalidArgument, "dtype of out", [&](auto& a) { a.out = other.view(); });
  expect(Code::kInvalidArgument, "misaligned", [&](auto& a) { a.residual = odd.view(); });
  expect(Code::kInvalidArgument, "no gamma", [](auto& a) { a.gamma = nullptr; });
  expect(Code::kInvalidArgument, "no plan", [](auto&) {}, {});
  expect(Code::kInvalidArgument, "no such tile", [](auto&) {}, {kNormTileCount});
  expect(Code::kUnsupported, "f32", [](auto& a) { a.in.dtype = a.weight.dtype = a.out.dtype = DType::kF32; });
}

}  // namespace
}  // namespace padless::cuda::test

int main(int argc, char**) {
  using namespace padless::cuda;
  const bool quick = argc > 1;
  test::test_tiles<bf16>(test::tiles_of(quick), !quick);
  test::test_tiles<fp16>(test::tiles_of(quick), false);
  test::test_bits(quick);
  test::test_plans();
  test::test_bad_input();
  return test::report("kernel_linear_norm");
}
