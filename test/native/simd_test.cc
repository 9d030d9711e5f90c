// Vector math of every instruction set against double precision.
#include <cmath>

#include "test/native/cpu_test.h"
#include "test/native/reference.h"
#include "test/native/simd_samples.h"

namespace padless {
namespace portable {
extern const test::SimdSamples simd_samples;
}
#if defined(__x86_64__)
namespace avx2 {
extern const test::SimdSamples simd_samples;
}
namespace avx512 {
extern const test::SimdSamples simd_samples;
}
#elif defined(__aarch64__)
namespace neon {
extern const test::SimdSamples simd_samples;
}
#endif
}  // namespace padless

namespace padless::test {
namespace {

const SimdSamples& samples_of(IsaLevel level) {
#if defined(__x86_64__)
  if (level == IsaLevel::kAvx512) return avx512::simd_samples;
  if (level == IsaLevel::kAvx2) return avx2::simd_samples;
#elif defined(__aarch64__)
  if (level == IsaLevel::kNeon) return neon::simd_samples;
#endif
  (void)level;
  return portable::simd_samples;
}

/** Values of every size between 1e-6 and `largest`, both signs. */
std::vector<float> spread_values(float largest) {
  std::mt19937_64 random = generator(static_cast<uint64_t>(largest));
  std::uniform_real_distribution<float> exponent(std::log(1e-6f), std::log(largest));
  std::vector<float> values(100003);
  for (float& value : values) value = (random() & 1 ? 1.f : -1.f) * std::exp(exponent(random));
  values[0] = 0;
  return values;
}

/** |got - expected| <= relative * |expected| + absolute * max(1, |x|). */
void expect_close(const char* name, const std::string& isa, SimdSamples::Function function,
                  double (*reference)(double), float largest, double relative, double absolute) {
  const std::vector<float> x = spread_values(largest);
  std::vector<float> y(x.size());
  function(x.data(), y.data(), static_cast<int64_t>(x.size()));
  double worst = 0;
  float at = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = reference(x[i]);
    const double allowed = relative * std::abs(expected) + absolute * std::max(1.f, std::abs(x[i]));
    const double error = std::abs(y[i] - expected) / allowed;
    if (!(error <= worst)) {
      worst = error;
      at = x[i];
    }
  }
  check(worst <= 1, concat(isa, " ", name, "(", at, ") is off by ", worst, " times what is allowed"));
}

void test_functions(const std::string& isa, const SimdSamples& samples) {
  expect_close(
      "exp", isa, samples.exp, [](double x) { return std::exp(x); }, 87.f, 4e-7, 0);
  expect_close(
      "erf", isa, samples.erf, [](double x) { return std::erf(x); }, 8.f, 6e-7, 0);
  expect_close(
      "tanh", isa, samples.tanh, [](double x) { return std::tanh(x); }, 20.f, 6e-7, 0);
  expect_close(
      "sigmoid", isa, samples.sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, 86.f, 6e-7, 0);
  expect_close(
      "silu", isa, samples.silu, [](double x) { return x / (1 + std::exp(-x)); }, 86.f, 6e-7, 0);
  expect_close(
      "gelu_erf", isa, samples.gelu_erf, [](double x) { return activate_reference(Activation::kGeluErf, x); },
      30.f, 6e-7, 3e-7);
  expect_close(
      "gelu_erf_short", isa, samples.gelu_erf_short,
      [](double x) { return activate_reference(Activation::kGeluErf, x); }, 30.f, 1.7e-4, 8e-5);
  expect_close(
      "gelu_tanh", isa, samples.gelu_tanh,
      [](double x) { return activate_reference(Activation::kGeluTanh, x); }, 5.f, 2e-6, 1e-8);
}

void test_extremes(const std::string& isa, const SimdSamples& samples) {
  const float inf = INFINITY;
  const float x[] = {0.f, -0.f, -inf, inf, -1000.f, 1000.f, NAN, 88.7f};
  float y[8];
  samples.exp(x, y, 8);
  check(y[0] == 1 && y[1] == 1 && y[2] == 0 && y[3] == inf && y[4] == 0 && y[5] == inf && std::isnan(y[6]) &&
            std::isfinite(y[7]),
        isa + " exp at its ends");
  samples.tanh(x, y, 8);
  check(y[0] == 0 && y[2] == -1 && y[3] == 1 && std::isnan(y[6]), isa + " tanh at its ends");
  samples.erf(x, y, 8);
  check(y[0] == 0 && y[2] == -1 && y[3] == 1 && std::isnan(y[6]), isa + " erf at its ends");
  samples.gelu_erf(x, y, 8);
  check(y[0] == 0 && y[3] == inf && y[4] == 0 && y[5] == 1000 && std::isnan(y[6]), isa + " gelu at its ends");
  samples.gelu_erf_short(x, y, 8);
  check(y[0] == 0 && y[2] == 0 && y[3] == inf && y[4] == 0 && y[5] == 1000 && std::isnan(y[6]),
        isa + " short gelu at its ends");
}

void test_lanes(const std::string& isa, const SimdSamples& samples) {
  const std::vector<float> x = normal_values(301, 3);
  std::vector<float> y(x.size() + 1, -7.f);
  samples.copy(x.data(), y.data(), static_cast<int64_t>(x.size()));
  check(std::equal(x.begin(), x.end(), y.begin()) && y.back() == -7.f, isa + " partial loads and stores");
  double sum = 0;
  for (int i = 0; i < samples.lanes; ++i) sum += x[static_cast<size_t>(i)];
  check(std::abs(samples.sum(x.data()) - sum) < 1e-5, isa + " reduce_add");
  check(samples.most(x.data()) == *std::max_element(x.begin(), x.begin() + samples.lanes),
        isa + " reduce_max");
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless;
  test::start(argc, argv);
  for (const CpuContext& context : test::contexts(1)) {
    const test::SimdSamples& samples = test::samples_of(context.isa.level);
    const std::string isa = isa_name(context.isa);
    test::test_functions(isa, samples);
    test::test_extremes(isa, samples);
    test::test_lanes(isa, samples);
  }
  return test::finish();
}
