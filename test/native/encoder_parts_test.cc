// Rope rows however far positions lie, rows shifted within sequences, and parts of stored tensors.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "lib/encoder/convolution.h"
#include "lib/encoder/file_weights.h"
#include "lib/encoder/rope.h"
#include "test/native/safetensors_fixture.h"

namespace padless::test {
namespace {

/** The largest difference of a filled table from cosines and sines computed here. */
double rope_error(RopeTable& table, const RopeSpec& spec,
                  const std::vector<std::vector<int32_t>>& sequences) {
  std::vector<int32_t> positions;
  std::vector<int32_t> cu_seqlens = {0};
  for (const auto& sequence : sequences) {
    positions.insert(positions.end(), sequence.begin(), sequence.end());
    cu_seqlens.push_back(static_cast<int32_t>(positions.size()));
  }
  const size_t pairs = spec.frequencies.size();
  std::vector<float> out(positions.size() * 2 * pairs, NAN);
  table.fill({positions, positions, {}, cu_seqlens}, out.data());
  double worst = 0;
  size_t row = 0;
  for (const auto& sequence : sequences) {
    const int64_t length =
        sequence.empty() ? 0 : *std::max_element(sequence.begin(), sequence.end()) + int64_t{1};
    for (const int32_t position : sequence) {
      for (size_t i = 0; i < pairs; ++i) {
        double frequency = spec.frequencies[i];
        if (spec.length > 0 && length > spec.length) {
          const double dim = 2.0 * static_cast<double>(pairs);
          const double grown = spec.scale * static_cast<double>(length) / static_cast<double>(spec.length);
          frequency = spec.long_frequencies.empty()
                          ? std::pow(spec.theta * std::pow(grown - spec.scale + 1, dim / (dim - 2)),
                                     -2.0 * static_cast<double>(i) / dim)
                          : spec.long_frequencies[i];
        }
        const double angle = position * frequency;
        const float* got = &out[row * 2 * pairs];
        // !(x <= y) rather than x > y: NaN is an error too.
        for (const double difference :
             {got[i] - spec.factor * std::cos(angle), got[pairs + i] - spec.factor * std::sin(angle)}) {
          if (!(std::abs(difference) <= worst))
            worst = std::isnan(difference) ? INFINITY : std::abs(difference);
        }
      }
      ++row;
    }
  }
  return worst;
}

void test_rope() {
  RopeSpec spec;
  spec.rotary_dim = 6;
  spec.frequencies = {1.0, 0.1, 0.003};
  spec.factor = 1.25;
  std::vector<int32_t> thousand(1000);
  std::iota(thousand.begin(), thousand.end(), 0);
  const auto check_all = [&](const std::string& what) {
    RopeTable table(spec);
    constexpr double kLimit = 1e-6;  // a float near 1.25 has half an ulp of 6e-8
    check(rope_error(table, spec, {{0, 1, 2}, {}, {0}}) < kLimit, what + ": short");
    check(rope_error(table, spec, {thousand, {3, 700, 511, 512}}) < kLimit, what + ": grown");
    check(rope_error(table, spec, {{0, 131071}, {131072, 5}, {2147483646}}) < kLimit, what + ": far");
    check(rope_error(table, spec, {{0, 1, 2}, thousand}) < kLimit, what + ": short again");
  };
  check_all("plain");
  spec.length = 64;
  spec.theta = 100;
  spec.scale = 4;
  check_all("dynamic");
  spec.long_frequencies = {0.5, 0.02, 0.001};
  check_all("long");
}

void test_shifted_rows() {
  const std::vector<int32_t> cu_seqlens = {0, 3, 3, 4, 6};
  check(shifted_rows(cu_seqlens, 0) == std::vector<int32_t>({0, 1, 2, 3, 4, 5}), "no shift");
  check(shifted_rows(cu_seqlens, 1) == std::vector<int32_t>({1, 2, -1, -1, 5, -1}), "the next row");
  check(shifted_rows(cu_seqlens, -2) == std::vector<int32_t>({-1, -1, 0, -1, -1, -1}), "two rows before");
}

void test_parts() {
  std::vector<float> values(24);
  std::iota(values.begin(), values.end(), 0.f);
  const std::string data(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  const std::string json = concat("{", entry("w", "F32", "[12,2]", "[0,96]"), "}");
  auto file = SafetensorsFile::open(write_file("parts", file_of(json, data)));
  check(file.is_ok(), "the file opens");
  FileWeights weights;
  const auto rows_of = [&](const RowPart& part) {
    std::vector<int> rows;
    check(weights.add("x", file.value(), "w", part).is_ok(), "a part");
    const Result<HostTensor> tensor = weights.tensor("x");
    check(tensor.is_ok() && tensor.value().shape[1] == 2, "the part's shape");
    std::vector<float> got(static_cast<size_t>(tensor.value().elements()));
    std::memcpy(got.data(), tensor.value().data, got.size() * sizeof(float));
    for (size_t i = 0; i < got.size(); i += 2) rows.push_back(static_cast<int>(got[i]) / 2);
    weights.release("x");
    return rows;
  };
  check(rows_of({}).size() == 12, "the whole");
  check(rows_of({1, 3, 1}) == std::vector<int>({4, 5, 6, 7}), "the second of three");
  check(rows_of({0, 3, 2}) == std::vector<int>({0, 1, 6, 7}), "the first of three, by two groups");
  check(rows_of({2, 3, 4}) == std::vector<int>({2, 5, 8, 11}), "the third of three, by four groups");
  for (const RowPart& part : {RowPart{0, 5, 1}, RowPart{3, 3, 1}, RowPart{0, 3, 3}, RowPart{0, 0, 1}}) {
    check(weights.add("y", file.value(), "w", part).code() == Code::kBadWeights, "a part that does not fit");
  }
}

}  // namespace
}  // namespace padless::test

int main() {
  using namespace padless;
  test::test_rope();
  test::test_shifted_rows();
  test::test_parts();
  return test::finish({"parts"});
}
