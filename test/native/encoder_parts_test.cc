// Rope rows however far positions lie, rows shifted within sequences, parts of stored tensors, and of
// batches.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "lib/encoder/batch_slice.h"
#include "lib/encoder/binder.h"
#include "lib/encoder/convolution.h"
#include "lib/encoder/file_weights.h"
#include "lib/encoder/rope.h"
#include "lib/engine/cpu/cpu_engine.h"
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

/** An error about a weight names the file's tensor. */
void test_weights_too_wide_for_int8() {
  constexpr int64_t kIn = 66312;
  const std::string json =
      concat("{", entry("h.0.ffn", "F16", concat("[2,", kIn, "]"), concat("[0,", 4 * kIn, "]")), "}");
  auto file = SafetensorsFile::open(write_file("wide", file_of(json, std::string(4 * kIn, 0))));
  check(file.is_ok(), "the file opens");
  FileWeights weights;
  check(weights.add("layers.0.mlp.down.weight", file.value(), "h.0.ffn").is_ok(), "the weight");
  const auto engine = create_cpu_engine({.threads = 1}).take();
  WeightBinder binder(*engine, weights, ComputeType::kI8, nullptr, [] { return Status::ok(); });
  const Status status = binder.linear({"layers.0.mlp.down"}, kIn, {2}).status();
  check(status.code() == Code::kUnsupported && status.field() == "h.0.ffn" &&
            status.message().find("66311") != std::string::npos,
        concat("a weight of ", kIn, " inputs: ", code_name(status.code()), " ", status.message()));
  check(binder.exact().linear({"layers.0.mlp.down"}, kIn, {2}).is_ok(), "the same weight in f32");
}

void test_cuts() {
  using Cuts = std::vector<int64_t>;
  const auto cuts = [](std::vector<int32_t> cu_seqlens, int64_t most) {
    return cut_sequences(cu_seqlens, most);
  };
  check(cuts({}, 4) == Cuts({0, 0}) && cuts({0}, 4) == Cuts({0, 0}), "no sequences");
  check(cuts({0, 0, 0}, 4) == Cuts({0, 2}), "no tokens");
  check(cuts({0, 3, 8, 9}, 0) == Cuts({0, 3}), "no limit");
  check(cuts({0, 3, 8, 9}, 9) == Cuts({0, 3}), "all fit");
  check(cuts({0, 2, 4, 6, 8}, 4) == Cuts({0, 2, 4}), "two equal runs");
  check(cuts({0, 2, 4, 6, 8, 9}, 8) == Cuts({0, 2, 5}), "no small run at the end");
  check(cuts({0, 100}, 8) == Cuts({0, 1}), "one sequence is never cut");
  check(cuts({0, 1, 101, 102, 103}, 10) == Cuts({0, 2, 4}), "a long sequence among short ones");
  check(cuts({0, 4, 4, 4, 8}, 4) == Cuts({0, 1, 4}), "empty sequences");
}

void test_slices() {
  const std::vector<int32_t> ids = {1, 2, 3, 4, 5, 6}, positions = {0, 1, 0, 0, 1, 2},
                             types = {0, 0, 1, 1, 0, 0};
  const std::vector<int32_t> cu_seqlens = {0, 2, 2, 3, 6}, key_counts = {1, 0, 1, 2};
  const auto values = [](std::span<const int32_t> span) {
    return std::vector<int32_t>(span.begin(), span.end());
  };
  const BatchSlice all({ids, positions, types, cu_seqlens, key_counts}, 1, 4);
  check(all.first_token() == 2 && values(all.batch().ids) == std::vector<int32_t>({3, 4, 5, 6}), "ids");
  check(values(all.batch().positions) == std::vector<int32_t>({0, 0, 1, 2}), "positions");
  check(values(all.batch().token_types) == std::vector<int32_t>({1, 1, 0, 0}), "token types");
  check(values(all.batch().cu_seqlens) == std::vector<int32_t>({0, 0, 1, 4}), "cu_seqlens");
  check(values(all.batch().key_counts) == std::vector<int32_t>({0, 1, 2}), "key counts");
  const BatchSlice bare({ids, positions, {}, cu_seqlens}, 0, 1);
  check(bare.first_token() == 0 && bare.batch().tokens() == 2, "the first sequence");
  check(bare.batch().token_types.empty() && bare.batch().key_counts.empty(), "what is left out stays out");
}

}  // namespace
}  // namespace padless::test

int main() {
  using namespace padless;
  test::test_rope();
  test::test_shifted_rows();
  test::test_parts();
  test::test_weights_too_wide_for_int8();
  test::test_cuts();
  test::test_slices();
  return test::finish({"parts", "wide"});
}
