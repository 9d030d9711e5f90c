// CPU attention with products in bf16, by AVX512-BF16 and by AMX: how far from exact, what must not change
// its bits, and where it stays in fp32.
#include <cstdio>

#include "test/native/attention_bf16_case.h"

namespace padless::test {
namespace {

/** Chips without bf16 dot products, and disentangled positions, compute in fp32. */
void test_fp32_where_no_bf16() {
  Case disentangled = {"disentangled", kFewLengths, {2, 2, 24}, {}};
  disentangled.bias = {false, false, true, true, 50, [](int64_t d) { return direct_row(d, 50); }};
  const Case plain = {"plain", kFewLengths, {2, 2, 24}, {}};
  for (Case test : {disentangled, plain}) {
    Input input = make_input(test, 300);
    for (const CpuContext& context : contexts(2)) {
      if ((context.isa.prefers_bf16_dots() || context.isa.amx_bf16) && test.name == "plain") continue;
      test.compute = ComputeType::kF32;
      const Output wanted = run(context, test, input);
      test.compute = ComputeType::kBF16;
      check(same_bits(wanted.out, run(context, test, input).out),
            concat(test.name, " on ", isa_name(context.isa), " is not fp32"));
    }
  }
}

/** The kernels that this processor can run. */
std::vector<Runner> bf16_runners() {
  std::vector<Runner> runners;
  CpuContext context = contexts(2).back();
  if (!context.isa.avx512_bf16) return runners;
  if (context.isa.amx_bf16) runners.push_back(context);
  context.isa.amx_bf16 = context.isa.amx_int8 = context.isa.slow_bf16_dots = false;
  runners.push_back(context);
  return runners;
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless::test;
  start(argc, argv);
  test_fp32_where_no_bf16();
  const std::vector<Runner> runners = bf16_runners();
  if (runners.empty()) {
    std::printf("SKIP the kernels of AVX512-BF16 and AMX: this processor is %s\n",
                padless::isa_name(padless::detect_cpu_isa()).c_str());
  }
  test_bf16_kernels(runners);
  return finish();
}
