// The attention kernels of AMX on tiles in plain C++, whatever the processor. Needs AVX512-BF16 for rounding
// and AVX512-VBMI for exponentials.
#include <cstdio>

#include "test/native/attention_bf16_case.h"

namespace padless::avx512 {
extern const AttentionKernels attention_software_tile_kernels;
}  // namespace padless::avx512

int main(int argc, char** argv) {
  using namespace padless;
  test::start(argc, argv);
  const CpuContext context = test::contexts(2).back();
  if (!context.isa.avx512_bf16 || !__builtin_cpu_supports("avx512vbmi")) {
    std::printf("SKIP tiles: the processor lacks AVX512-BF16 or AVX512-VBMI\n");
    return EXIT_SUCCESS;
  }
  test::test_bf16_kernels({{context, &avx512::attention_software_tile_kernels, "tiles in plain C++"}});
  return test::finish();
}
