// Linear layers on every instruction set against double precision, and their bits against each other.
#include "lib/engine/cpu/rows/blocking.h"
#include "test/native/linear_case.h"

namespace padless::test {
namespace {

constexpr Activation kActivations[] = {Activation::kNone,   Activation::kGeluErf, Activation::kGeluTanh,
                                       Activation::kRelu,   Activation::kSilu,    Activation::kTanh,
                                       Activation::kSigmoid};

std::string isa_and(const CpuContext& context, const LinearCase& shape) {
  return concat(isa_name(context.isa), " threads ", context.threads, " ", shape.name());
}

std::vector<LinearCase> cases() {
  std::vector<LinearCase> list;
  for (int64_t rows : {1, 2, 7, 8, 9, 33, 130}) {
    for (int64_t k : {1, 3, 96, 131}) {
      for (int64_t n : {1, 15, 48, 77, 200}) {
        LinearCase shape{.rows = rows, .in_features = k, .parts = {n}};
        shape.bias = (rows + k + n) % 3 != 0;
        shape.residual = (rows + n) % 2 == 0;
        shape.activation = kActivations[static_cast<size_t>(rows + k + n) % 7];
        list.push_back(shape);
      }
    }
  }
  for (Activation activation : kActivations) {
    list.push_back({.rows = 19, .in_features = 64, .parts = {50, 50}, .glu = true, .activation = activation});
    list.push_back(
        {.rows = 19, .in_features = 64, .parts = {100}, .residual = true, .activation = activation});
    list.push_back({.rows = 23,
                    .in_features = 37,
                    .parts = {90},
                    .residual = true,
                    .residual_first = true,
                    .activation = activation});
  }
  list.push_back({.rows = 40, .in_features = 200, .parts = {33, 70, 5}, .dtype = DType::kF16});
  list.push_back({.rows = 40, .in_features = 200, .parts = {33, 70, 5}, .dtype = DType::kBF16});
  list.push_back({.rows = 17, .in_features = 1024, .parts = {64}});  // rows that share cache sets
  list.push_back(
      {.rows = 100, .in_features = 5000, .parts = {52}, .residual = true});  // several blocks of steps
  list.push_back({.rows = 5, .in_features = 64, .parts = {1, 1}, .glu = true, .bias = false});
  // Rows for the kernels of many, one of them in portions of its steps.
  for (int64_t rows : {192, 223, 401}) {
    list.push_back({.rows = rows, .in_features = 33, .parts = {77}, .activation = Activation::kGeluErf});
    list.push_back({.rows = rows, .in_features = 1500, .parts = {100}, .residual = true});
    list.push_back(
        {.rows = rows, .in_features = 96, .parts = {50, 50}, .glu = true, .activation = Activation::kSilu});
  }
  return list;
}

double tolerance(const LinearCase& shape) {
  switch (shape.compute) {
    case ComputeType::kBF16:
      return 1e-2;
    case ComputeType::kI8:
      return 3e-2;
    default:
      return 2e-6;
  }
}

void test_values(ComputeType compute) {
  uint64_t salt = 100;
  for (LinearCase shape : cases()) {
    shape.compute = compute;
    LinearData data(shape, salt += 100);
    const Doubles expected = linear_case_reference(shape, data);
    for (const CpuContext& context : kernel_contexts(2)) {
      auto weight = pack_linear_cpu(context, data.source(shape));
      check(weight.is_ok(), concat(isa_and(context, shape), ": ", weight.status().message()));
      if (!weight.is_ok()) continue;
      const std::vector<float> got = run_linear(context, shape, data, weight.value(), shape.rows);
      // The addends are of size 1. Few columns can cancel to almost nothing, and do not average errors out.
      const bool few = shape.out_features() < 16;
      const double error = relative_error(got, expected, few ? 1 : 0);
      const double limit = tolerance(shape) * (few ? 4 : 1);
      check(error <= limit, concat(isa_and(context, shape), ": relative error ", error));
    }
  }
}

/** Every row alone, every thread count and every cache size give the bits of the whole batch. */
void test_bits(ComputeType compute, int most_threads) {
  for (LinearCase shape : {LinearCase{.rows = 203,
                          .in_features = 150,
                          .parts = {130},
                          .residual = true,
                          .activation = Activation::kGeluErf},
                           LinearCase{.rows = 203,
                           .in_features = 129,
                           .parts = {70, 70},
                           .glu = true,
                           .activation = Activation::kSilu}}) {
    shape.compute = compute;
    LinearData data(shape, 7);
    for (CpuContext context : kernel_contexts(1)) {
      context.batch_invariant = true;
      const auto weight = pack_linear_cpu(context, data.source(shape)).value();
      const std::vector<float> whole = run_linear(context, shape, data, weight, shape.rows);
      for (int threads = 1; threads <= most_threads; ++threads) {
        for (size_t l2 : {size_t{8} << 10, size_t{1} << 20}) {
          context.threads = threads;
          context.caches.l2 = l2;
          for (int64_t rows : {int64_t{1}, int64_t{2}, int64_t{11}, int64_t{47}, int64_t{97}, shape.rows}) {
            const std::vector<float> some = run_linear(context, shape, data, weight, rows);
            check(std::memcmp(some.data(), whole.data(), some.size() * sizeof(float)) == 0,
                  concat(isa_and(context, shape), ": the bits of ", rows, " rows differ, L2 ", l2));
          }
        }
      }
    }
  }
}

/** The kernels of many rows: the same bits with any other number of many rows, threads or bytes of cache. */
void test_bits_of_many_rows(int most_threads) {
  for (LinearCase shape : {LinearCase{.rows = 449, .in_features = 150, .parts = {130}, .residual = true},
                           LinearCase{.rows = 310, .in_features = 2100, .parts = {70, 70}, .glu = true}}) {
    LinearData data(shape, 9);
    for (CpuContext context : kernel_contexts(1)) {
      const auto weight = pack_linear_cpu(context, data.source(shape)).value();
      const std::vector<float> whole = run_linear(context, shape, data, weight, shape.rows);
      for (int threads : {1, 2, 3, 8}) {
        if (threads > most_threads) break;
        for (size_t l2 : {size_t{8} << 10, size_t{2} << 20}) {
          context.threads = threads;
          context.caches.l2 = l2;
          for (int64_t rows : {kManyRows, int64_t{201}, shape.rows}) {
            const std::vector<float> some = run_linear(context, shape, data, weight, rows);
            check(std::memcmp(some.data(), whole.data(), some.size() * sizeof(float)) == 0,
                  concat(isa_and(context, shape), ": the bits of ", rows, " rows differ, L2 ", l2));
          }
        }
      }
    }
  }
}

/** Values that 8-bit codes stand for: q * scale, q whole; 127 steps to each side, or 255 from least to
 * largest. */
Doubles through_codes(const std::vector<float>& values, int64_t columns, bool symmetric) {
  Doubles result(values.size());
  for (size_t begin = 0; begin < values.size(); begin += static_cast<size_t>(columns)) {
    double low = 0;
    double high = 0;
    for (size_t i = begin; i < begin + static_cast<size_t>(columns); ++i) {
      low = std::min<double>(low, values[i]);
      high = std::max<double>(high, values[i]);
    }
    const double step = symmetric ? std::max(-low, high) / 127 : (high - low) / 255;
    for (size_t i = begin; i < begin + static_cast<size_t>(columns); ++i) {
      result[i] = step > 0 ? std::nearbyint(values[i] / step) * step : 0;
    }
  }
  return result;
}

/** int8 equals the product of the rounded operands, and bit for bit the same on every instruction set. */
void test_int8_is_exact() {
  LinearCase shape{.rows = 37, .in_features = 301, .parts = {90}, .compute = ComputeType::kI8};
  LinearData data(shape, 31);
  std::fill_n(data.x.begin() + shape.in_features, shape.in_features, 0.f);  // a row of zeros
  for (int64_t i = 0; i < shape.in_features; ++i)
    data.x[static_cast<size_t>(i)] = 3.f;  // and one without negatives
  const Doubles expected =
      linear_reference(through_codes(data.x, shape.in_features, false),
                       through_codes(data.weights[0].values, shape.in_features, true),
                       data.stacked_biases(shape), shape.rows, shape.stacked(), shape.in_features);
  std::vector<float> first;
  for (const CpuContext& context : kernel_contexts(1)) {
    const auto weight = pack_linear_cpu(context, data.source(shape)).value();
    const std::vector<float> got = run_linear(context, shape, data, weight, shape.rows);
    const double error = relative_error(got, expected);
    // A value half way between two codes may round either way in fp32.
    check(error < 1e-3, concat(isa_and(context, shape), ": error against rounded operands ", error));
    if (first.empty()) first = got;
    check(std::memcmp(got.data(), first.data(), got.size() * sizeof(float)) == 0,
          concat(isa_and(context, shape), ": other bits than the first instruction set"));
  }
  data.x[5] = NAN;
  data.x[static_cast<size_t>(2 * shape.in_features)] = INFINITY;
  for (const CpuContext& context : kernel_contexts(1)) {
    const auto weight = pack_linear_cpu(context, data.source(shape)).value();
    const std::vector<float> got = run_linear(context, shape, data, weight, 4);
    check(std::isnan(got[0]) && std::isfinite(got[static_cast<size_t>(shape.stacked())]) &&
              std::isnan(got[static_cast<size_t>(2 * shape.stacked())]),
          concat(isa_and(context, shape), ": NaN and infinity must show in their rows alone"));
  }
}

/** The largest sums that codes can have still fit; one input more is refused. */
void test_int8_sums_fit() {
  constexpr int64_t kMost = 66311;  // 255 * 127 * 66311 < 2^31
  LinearCase shape{
      .rows = 2, .in_features = kMost, .parts = {16}, .bias = false, .compute = ComputeType::kI8};
  LinearData data(shape, 77);
  data.weights[0] = store_as(DType::kF32, std::vector<float>(static_cast<size_t>(16 * kMost), -1.f));
  std::fill_n(data.x.begin(), kMost, 1.f);           // codes of 255 and a zero point of 0
  std::fill_n(data.x.begin() + kMost, kMost, -1.f);  // the other way round
  LinearCase wider = shape;
  wider.in_features = kMost + 1;
  const LinearData more(wider, 78);
  for (const CpuContext& context : kernel_contexts(1)) {
    const auto weight = pack_linear_cpu(context, data.source(shape)).value();
    const std::vector<float> got = run_linear(context, shape, data, weight, shape.rows);
    for (size_t i = 0; i < got.size(); ++i) {
      const float expected = i < got.size() / 2 ? -kMost : kMost;
      check(std::abs(got[i] - expected) < 1,
            concat(isa_and(context, shape), ": ", got[i], ", not ", expected));
    }
    check_status(pack_linear_cpu(context, more.source(wider)).status(), Code::kUnsupported, "weight",
                 isa_and(context, wider));
  }
}

void test_bad_sources() {
  const std::vector<float> values(64, 1.f);
  const HostTensor square{values.data(), DType::kF32, {8, 8}};
  const HostTensor narrow{values.data(), DType::kF32, {8, 4}};
  const HostTensor integers{values.data(), DType::kI32, {8, 8}};
  const HostTensor short_bias{values.data(), DType::kF32, {7}};
  const CpuContext context = contexts(1)[0];
  const auto status = [&](LinearSource source) { return pack_linear_cpu(context, source).status(); };
  check_status(status({}), Code::kInvalidArgument, "parts", "no parts");
  check_status(status({.parts = {{square, {}}, {narrow, {}}}}), Code::kInvalidArgument, "weight",
               "inputs differ");
  check_status(status({.parts = {{integers, {}}}}), Code::kUnsupported, "weight", "integer weights");
  check_status(status({.parts = {{square, short_bias}}}), Code::kInvalidArgument, "bias", "short bias");
  check_status(status({.parts = {{square, {}}}, .glu = true}), Code::kInvalidArgument, "glu",
               "GLU of one part");
  check_status(status({.parts = {{square, {}}}, .compute = ComputeType::kF16}), Code::kUnsupported, "dtype",
               "f16");
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless;
  test::start(argc, argv);
  const int most_threads = argc > 2 ? std::atoi(argv[2]) : 8;
  test::test_bad_sources();
  test::test_int8_is_exact();
  test::test_int8_sums_fit();
  test::test_bits_of_many_rows(most_threads);
  for (ComputeType compute : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kI8}) {
    test::test_values(compute);
    test::test_bits(compute, std::min(most_threads, 4));
  }
  return test::finish();
}
