// e4m3: conversions both ways against the format's definition (OCP FP8: bias 7, subnormals, no infinity, NaN
// where all of exponent and mantissa are set).
#include <limits>

#include "cuda/ptx/math.cuh"
#include "cuda/tests/e4m3_reference.h"
#include "cuda/tests/support.h"

namespace padless::cuda::test {
namespace {

constexpr int kThreads = 128;

__global__ void to_codes(const float* in, uint16_t* out, int pairs) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < pairs) out[i] = ptx::cvt_rn_satfinite_e4m3x2(in[2 * i], in[2 * i + 1]);
}

__global__ void to_halves(uint32_t* out) {
  const auto code = static_cast<uint16_t>(threadIdx.x);
  out[code] = ptx::cvt_rn_f16x2_e4m3x2(static_cast<uint16_t>(code | (255 - code) << 8));
}

bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && !(std::signbit(a) ^ std::signbit(b)));
}

void test_decoding() {
  DeviceBuffer<uint32_t> out(256);
  check_ok(launch(to_halves, {.grid = 1, .block = 256}, out.data()), "to_halves");
  const auto halves = out.download();
  int wrong = 0;
  for (int code = 0; code < 256; code++) {
    const auto value = [&](uint32_t word, int shift) {
      const auto bits = static_cast<uint16_t>(word >> shift);
      return static_cast<double>(static_cast<float>(*reinterpret_cast<const fp16*>(&bits)));
    };
    wrong += !same(value(halves[code], 0), e4m3_value(code)) +
             !same(value(halves[code], 16), e4m3_value(255 - code));
    const auto byte = static_cast<uint8_t>(code);
    wrong += !same(static_cast<double>(static_cast<float>(*reinterpret_cast<const e4m3*>(&byte))),
                   e4m3_value(code));
  }
  check(wrong == 0, "decoding: " + std::to_string(wrong) + " wrong values");
}

// Every code's value, the middle between it and the next, and the floats beside both; limits; random values.
std::vector<float> values_to_encode() {
  std::vector<float> values = {0.0f,
                               INFINITY,
                               1e30f,
                               3.4e38f,
                               448.0f,
                               463.9f,
                               464.0f,
                               465.0f,
                               480.0f,
                               1e-30f,
                               std::numeric_limits<float>::quiet_NaN(),
                               std::numeric_limits<float>::denorm_min()};
  for (int code = 0; code < 126; code++) {
    const double middle = (e4m3_value(code) + e4m3_value(code + 1)) / 2;
    for (const double exact : {e4m3_value(code), middle}) {
      const auto value = static_cast<float>(exact);
      for (const float near : {value, std::nextafter(value, 1e9f), std::nextafter(value, -1e9f)})
        values.push_back(near);
    }
  }
  Random random;
  for (int i = 0; i < 4000; i++) values.push_back(random.uniform(0, 500) * std::exp2(random.uniform(-14, 1)));
  const size_t count = values.size();
  for (size_t i = 0; i < count; i++) values.push_back(-values[i]);
  return values;
}

void test_encoding() {
  const std::vector<float> values = values_to_encode();
  const auto pairs = static_cast<int>(values.size() / 2);
  DeviceBuffer<float> in(values);
  DeviceBuffer<uint16_t> out(static_cast<size_t>(pairs));
  check_ok(
      launch(to_codes, {.grid = static_cast<unsigned>((pairs + kThreads - 1) / kThreads), .block = kThreads},
             in.data(), out.data(), pairs),
      "to_codes");
  const auto codes = out.download();
  int wrong = 0;
  for (size_t i = 0; i < 2 * static_cast<size_t>(pairs); i++) {
    const int code = codes[i / 2] >> (8 * (i % 2)) & 255;
    wrong += std::isnan(values[i]) ? !std::isnan(e4m3_value(code)) : code != e4m3_code(values[i]);
  }
  check(wrong == 0, "encoding: " + std::to_string(wrong) + " wrong codes of " + std::to_string(2 * pairs));
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda::test;
  test_decoding();
  test_encoding();
  return report("emulator_fp8");
}
