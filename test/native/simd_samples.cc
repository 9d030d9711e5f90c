// Compiled once an instruction set, like the kernels.
#include "test/native/simd_samples.h"

#include "lib/engine/cpu/simd/gelu_short.h"
#include "lib/engine/cpu/simd/math.h"

namespace padless::PADLESS_ISA {
namespace {

using simd::Vec;

template <Vec (*kFunction)(Vec)>
void apply(const float* x, float* y, int64_t count) {
  for (int64_t i = 0; i < count; i += Vec::kLanes) {
    const int left = count - i < Vec::kLanes ? static_cast<int>(count - i) : Vec::kLanes;
    simd::store(y + i, kFunction(simd::load(x + i, left)), left);
  }
}

void copy(const float* x, float* y, int64_t count) {
  int lanes = 1;
  for (int64_t i = 0; i < count;) {
    const int n = count - i < lanes ? static_cast<int>(count - i) : lanes;
    simd::store(y + i, simd::load(x + i, n), n);
    i += n;
    lanes = lanes % Vec::kLanes + 1;
  }
}

float sum(const float* x) { return simd::reduce_add(simd::load(x)); }
float most(const float* x) { return simd::reduce_max(simd::load(x)); }

}  // namespace

extern const test::SimdSamples simd_samples;
const test::SimdSamples simd_samples = {apply<simd::exp>,
                                        apply<simd::erf>,
                                        apply<simd::tanh>,
                                        apply<simd::sigmoid>,
                                        apply<simd::silu>,
                                        apply<simd::gelu_erf>,
                                        apply<simd::gelu_erf_short>,
                                        apply<simd::gelu_tanh>,
                                        copy,
                                        sum,
                                        most,
                                        Vec::kLanes};

}  // namespace padless::PADLESS_ISA
