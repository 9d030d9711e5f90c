// quantize_rows against the definition of e4m3, code by code.
#include "cuda/tests/e4m3_reference.h"
#include "cuda/tests/kernel_support.h"

namespace padless::cuda::test {
namespace {

constexpr DeviceProperties kH100{132, 90, 227 * 1024, 228 * 1024, 65536};

struct QuantizeCase {
  int64_t rows, cols;
  int64_t in_gap = 0, out_gap = 0, lead = 0;
  int32_t count = -1;  // on the device; -1: not given
};

template <class T>
void run_case(const QuantizeCase& c) {
  const std::string name = concat("quantize ", type_name<T>(), " [", c.rows, ", ", c.cols, "] gaps ",
                                  c.in_gap, ", ", c.out_gap, " lead ", c.lead, " count ", c.count);
  Random random(static_cast<uint64_t>(c.cols));
  TestMatrix<T> in(c.rows, c.cols, c.in_gap, c.lead);
  in.fill(random);
  for (int64_t r = 0; r < c.rows; r++) {
    // Rows of different magnitude whose elements span e4m3's subnormals, too.
    const float magnitude = std::exp2(random.uniform(-6, 6));
    for (int64_t i = 0; i < c.cols; i++)
      in.at(r, i) = static_cast<T>(random.uniform(-magnitude, magnitude) * std::exp2(random.uniform(-16, 0)));
  }
  in.upload();
  TestMatrix<e4m3> out(c.rows, c.cols, c.out_gap);
  DeviceBuffer<float> scales(std::vector<float>(static_cast<size_t>(c.rows), -1.0f));
  DeviceBuffer<int32_t> count(std::vector<int32_t>{c.count});
  check_ok(quantize_rows({.in = in.view(),
                          .out = out.view(),
                          .scales = scales.data(),
                          .rows_on_device = c.count < 0 ? nullptr : count.data()},
                         kH100, nullptr),
           name);
  out.download();
  const auto got = scales.download();
  const int64_t rows = c.count < 0 ? c.rows : c.count;
  int wrong = 0;
  for (int64_t r = 0; r < rows; r++) {
    float largest = 0;
    for (int64_t i = 0; i < c.cols; i++)
      largest = std::max(largest, std::fabs(static_cast<float>(in.at(r, i))));
    wrong += got[static_cast<size_t>(r)] != largest / 448.0f;
    const float inverse = 448.0f / largest;
    for (int64_t i = 0; i < c.cols; i++) {
      const float value = static_cast<float>(in.at(r, i)) * inverse;
      wrong += !(out.value(r, i) == e4m3_value(e4m3_code(value)));
    }
  }
  check(wrong == 0, concat(name, ": ", wrong, " wrong codes or scales"));
  bool untouched = out.gaps_untouched(rows);
  for (int64_t r = rows; r < c.rows; r++) untouched &= got[static_cast<size_t>(r)] == -1.0f;
  check(untouched, name + ": nothing written outside");
}

template <class T>
void test_shapes() {
  for (int64_t cols : {1, 9, 128, 384, 768, 1000, 1024, 1536, 3072, 5000})
    run_case<T>({.rows = 6, .cols = cols});
  run_case<T>({.rows = 6, .cols = 256, .in_gap = 3});
  run_case<T>({.rows = 6, .cols = 256, .out_gap = 16});
  run_case<T>({.rows = 6, .cols = 250, .out_gap = 6});
  run_case<T>({.rows = 6, .cols = 256, .lead = 1});
  for (int32_t count : {0, 1, 5}) run_case<T>({.rows = 6, .cols = 2048, .count = count});
  run_case<T>({.rows = 0, .cols = 64});
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_shapes<bf16>();
  test::test_shapes<fp16>();
  test::test_shapes<float>();
  test::run_case<bf16>({.rows = 2, .cols = 16384});
  return test::report("kernel_quantize");
}
