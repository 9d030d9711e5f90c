// Warp instructions against fp64: ldmatrix, mma, shuffles, votes, atomics.
#include "cuda/platform.cuh"
#include "cuda/ptx/ldmatrix.cuh"
#include "cuda/ptx/mma.cuh"
#include "cuda/tests/support.h"

namespace padless::cuda::test {
namespace {

template <class T>
struct MmaStorage {
  T a[16][16];
  T b[16][8];
};

// d[16][8] = a[16][16] * b[16][8], both row-major in global memory.
template <class T>
__global__ void multiply_tile(const T* a, const T* b, float* d) {
  using Storage = MmaStorage<T>;
  SHARED_STORAGE(Storage, shared);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) shared.a[i / 16][i % 16] = a[i];
  for (int i = lane; i < 128; i += 32) shared.b[i / 8][i % 8] = b[i];
  __syncwarp();
  uint32_t fragment_a[4], fragment_b[2];
  ptx::ldmatrix_x4(fragment_a, ptx::cvta_to_shared(&shared.a[lane % 16][lane / 16 * 8]));
  ptx::ldmatrix_x2_trans(fragment_b, ptx::cvta_to_shared(&shared.b[lane % 16][0]));
  REGS(float, accumulator, [4]);
  UNROLL
  for (int i = 0; i < 4; i++) accumulator[i] = 0.0f;
  ptx::mma_m16n8k16<T>(accumulator, fragment_a, fragment_b, accumulator);
  UNROLL
  for (int i = 0; i < 4; i++) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = accumulator[i];
}

template <class T>
void test_mma(const char* name) {
  Random random;
  const auto a = random.vector<T>(256), b = random.vector<T>(128);
  DeviceBuffer<T> device_a(a), device_b(b);
  DeviceBuffer<float> device_d(128);
  check_ok(launch(multiply_tile<T>, {.grid = 1, .block = 32, .shared_bytes = sizeof(MmaStorage<T>)},
                  device_a.data(), device_b.data(), device_d.data()),
           name);
  const auto d = device_d.download();
  double worst = 0;
  for (int i = 0; i < 16; i++) {
    for (int j = 0; j < 8; j++) {
      double expected = 0;
      for (int k = 0; k < 16; k++) {
        expected += double{static_cast<float>(a[i * 16 + k])} * double{static_cast<float>(b[k * 8 + j])};
      }
      worst = std::fmax(worst, std::fabs(expected - d[i * 8 + j]));
    }
  }
  check(worst < 1e-5, std::string(name) + ": error " + std::to_string(worst));
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_mma<bf16>("mma bf16");
  test::test_mma<fp16>("mma fp16");
  return test::report("emulator_warp");
}
