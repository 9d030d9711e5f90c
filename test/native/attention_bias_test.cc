// Attention biases on the CPU: ALiBi, relative tables and disentangled positions.
#include "test/native/attention_case.h"

namespace padless::test {
namespace {

const std::vector<int32_t> kBiasLengths = {1, 2, 15, 0, 17, 63, 64, 65, 129, 300};
const std::vector<int32_t> kFewLengths = {1, 40, 0, 17, 129};

BiasCase alibi() { return {true, false, false, false, 0, {}}; }
BiasCase relative(int64_t reach) { return {false, true, false, false, reach, {}}; }
BiasCase direct(bool keys, bool queries, int64_t reach) {
  return {false, false, keys, queries, reach, [reach](int64_t d) { return direct_row(d, reach); }};
}
BiasCase buckets(int64_t reach, int64_t middle, int32_t step) {
  return {false, false, true, true, reach, [=](int64_t d) { return bucket_row(d, middle, step); }};
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](const std::string& name, const std::vector<int32_t>& lengths,
                       const AttentionShape& shape, const AttentionSpan& span, const BiasCase& bias) {
    Case test = {name, lengths, shape, span};
    test.bias = bias;
    all.push_back(test);
  };
  for (int64_t dim : {15, 16, 24, 32, 64}) {
    const AttentionShape shape = {2, 2, dim};
    add(concat("ALiBi, dim ", dim), kFewLengths, shape, {}, alibi());
    add(concat("relative, dim ", dim), kFewLengths, shape, {}, relative(200));
    add(concat("disentangled, dim ", dim), kBiasLengths, shape, {}, direct(true, true, 512));
  }
  const AttentionShape three = {3, 3, 16};
  add("ALiBi", kBiasLengths, three, {}, alibi());
  add("ALiBi of 1100", {1100, 3}, {1, 1, 8}, {}, alibi());
  add("ALiBi, causal", kBiasLengths, three, {true, -1, -1}, alibi());
  add("relative, reach 20", kBiasLengths, three, {}, relative(20));
  add("relative, reach 0", kFewLengths, three, {}, relative(0));
  add("relative of 1100", {1100, 3}, {1, 1, 8}, {}, relative(600));
  add("relative, grouped heads, window", kBiasLengths, {6, 2, 16}, {false, 30, 9}, relative(128));
  add("position keys only", kBiasLengths, three, {}, direct(true, false, 64));
  add("position queries only", kBiasLengths, three, {}, direct(false, true, 64));
  add("reach 5", kBiasLengths, three, {}, direct(true, true, 5));
  add("reach 0", kFewLengths, three, {}, direct(true, true, 0));
  add("buckets", kBiasLengths, three, {}, buckets(255, 20, 1));
  add("buckets with rows left out", kBiasLengths, three, {}, buckets(255, 40, 2));
  add("rows left out, 1100", {1100, 5}, {1, 1, 8}, {}, buckets(1000, 90, 10));
  add("disentangled, 1100, saturating", {1100, 600}, {2, 2, 24}, {}, direct(true, true, 100));
  add("disentangled, causal", kBiasLengths, three, {true, -1, -1}, direct(true, true, 40));
  add("disentangled, window 64, 3", {700, 65, 12}, {1, 1, 16}, {false, 64, 3}, direct(true, true, 30));
  add("disentangled, 6 heads share 2", kBiasLengths, {6, 2, 15}, {}, buckets(255, 20, 1));
  add("disentangled, 4 heads share 1, causal window", kFewLengths, {4, 1, 32}, {true, 50, -1},
      direct(true, true, 512));
  return all;
}

void test_refusals() {
  Case test = {"refusals", {5, 3}, {2, 2, 8}, {}};
  test.bias = direct(true, true, 9);
  Input input = make_input(test, 500);
  Case other = test;
  other.bias = {true, true, false, false, 9, {}};
  const Input both = make_input(other, 501);
  const AttentionBias line = both.bias->view();
  const CpuContext context = contexts(1).back();
  PackedBatch batch;
  batch.cu_seqlens = input.cu_seqlens;
  const AttentionPlan plan = plan_attention(input.cu_seqlens, test.shape, 1);
  const auto refused = [&](const std::string& field, const auto& spoil) {
    Output output;
    AttentionArgs args = make_args(test, input, output);
    spoil(args.bias);
    check_status(attention_cpu(context, plan, batch, args), Code::kInvalidArgument, field,
                 concat("bad ", field));
    check(output.out[0] == kCanary, concat("bad ", field, " wrote its output"));
  };
  refused("bias", [&](AttentionBias& bias) { bias = line; });
  refused("bias", [&](AttentionBias& bias) { bias.alibi_slopes = line.alibi_slopes; });
  refused("bias", [&](AttentionBias& bias) { bias.relative = line.relative; });
  refused("bias", [&](AttentionBias& bias) {
    bias = {};
    bias.position_queries = input.bias->view().position_queries;
    bias.alibi_slopes = line.alibi_slopes;
  });
  refused("reach", [](AttentionBias& bias) { bias.reach = -1; });
  refused("relativeRows", [](AttentionBias& bias) { bias.reach = 8; });
  refused("relativeRows", [](AttentionBias& bias) { bias.relative_rows = nullptr; });
  refused("relativeRows", [](AttentionBias& bias) { bias.position_keys = bias.position_queries = nullptr; });
  refused("alibiSlopes", [&](AttentionBias& bias) {
    bias = {};
    bias.alibi_slopes = line.relative;
  });
  refused("relative", [&](AttentionBias& bias) {
    bias = line;
    bias.alibi_slopes = nullptr;
    bias.reach = 10;
  });
  const TestTensor<float> narrow(normal_values(19 * 8, 1), DType::kF32, 19, 8);
  const TestTensor<float> few(normal_values(18 * 16, 1), DType::kF32, 18, 16);
  const TestTensor<float> integers(std::vector<float>(19), DType::kF32, 1, 19);
  refused("positionKeys", [&](AttentionBias& bias) { bias.position_keys = &narrow; });
  refused("positionQueries", [&](AttentionBias& bias) { bias.position_queries = &few; });
  refused("relativeRows", [&](AttentionBias& bias) { bias.position_keys = bias.position_queries = &few; });
  refused("relativeRows", [&](AttentionBias& bias) { bias.relative_rows = &integers; });
  std::vector<int32_t> falling(19, 3);
  falling[4] = 5;
  const TestTensor<int32_t> unsorted(falling, DType::kI32, 1, 19);
  refused("relativeRows", [&](AttentionBias& bias) { bias.relative_rows = &unsorted; });
  const TestTensor<int32_t> negative(std::vector<int32_t>(19, -1), DType::kI32, 1, 19);
  refused("relativeRows", [&](AttentionBias& bias) { bias.relative_rows = &negative; });
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless::test;
  start(argc, argv);
  test_refusals();
  test_against_reference(cases(), 0);
  test_bits(all_runners(1), cases(), 100);
  return finish();
}
