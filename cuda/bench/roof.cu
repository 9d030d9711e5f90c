// The machine's own limits: mma.sync on registers, and a copy.
#include <algorithm>

#include "cuda/bench/setting.h"
#include "cuda/platform.cuh"
#include "cuda/ptx/mma.cuh"

namespace padless::cuda::bench {
namespace {

constexpr int kThreads = 256, kProducts = 8, kSteps = 2048;
constexpr double kFlopsOfMma = 2.0 * 16 * 8 * 16;

// Eight independent accumulators a warp, random operands, nothing but mma.
__global__ void __launch_bounds__(kThreads) mma_roof_kernel(const uint32_t* operands, float* result) {
  const uint32_t* mine = operands + threadIdx.x * 6;
  const uint32_t a[4] = {mine[0], mine[1], mine[2], mine[3]}, b[2] = {mine[4], mine[5]};
  float sums[kProducts][4] = {};
  for (int step = 0; step < kSteps; step++) {
    UNROLL
    for (int i = 0; i < kProducts; i++) ptx::mma_m16n8k16<bf16>(sums[i], a, b, sums[i]);
  }
  float total = 0;
  UNROLL
  for (int i = 0; i < kProducts; i++) total += sums[i][0] + sums[i][1] + sums[i][2] + sums[i][3];
  result[static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x] = total;
}

}  // namespace

Result<Roof> measure_roof(Setting& setting) {
  constexpr int64_t kCopyBytes = int64_t{128} << 20;
  const int blocks = 4 * setting.device().sm_count;
  auto operands = setting.random(DType::kBF16, kThreads, 12);
  PADLESS_RETURN_IF_ERROR(operands.status());
  auto result = setting.random(DType::kF32, blocks, kThreads);
  PADLESS_RETURN_IF_ERROR(result.status());
  auto from = setting.random(DType::kF32, 1, kCopyBytes / 4),
       to = setting.random(DType::kF32, 1, kCopyBytes / 4);
  PADLESS_RETURN_IF_ERROR(from.status());
  PADLESS_RETURN_IF_ERROR(to.status());
  auto mma = setting.measure([&] {
    return launch(mma_roof_kernel,
                  {.grid = static_cast<unsigned>(blocks), .block = kThreads, .stream = setting.stream()},
                  static_cast<const uint32_t*>(operands.value().data),
                  static_cast<float*>(result.value().data));
  });
  PADLESS_RETURN_IF_ERROR(mma.status());
  auto copy = setting.measure([&] {
    return to_status(cudaMemcpyAsync(to.value().data, from.value().data, kCopyBytes, cudaMemcpyDeviceToDevice,
                                     setting.stream()));
  });
  PADLESS_RETURN_IF_ERROR(copy.status());
  setting.release();
  const double products = static_cast<double>(blocks) * (kThreads / 32) * kProducts * kSteps;
  return Roof{products * kFlopsOfMma / mma.value(), 2.0 * kCopyBytes / copy.value()};
}

}  // namespace padless::cuda::bench
