// One wgmma tile product in every operand layout: used by the emulator's tests and by the conformance
// vectors.
#pragma once

#include "cuda/platform.cuh"
#include "cuda/ptx/fence.cuh"
#include "cuda/ptx/ldmatrix.cuh"
#include "cuda/ptx/wgmma.cuh"
#include "cuda/tests/support.h"

namespace padless::cuda::test {

constexpr int kTileM = 64, kTileK = 64;

// Where element (row, k) of a [rows][64] operand lies in its canonical layout, and what the descriptor must
// say. Panels: a swizzled operand is cut into panels as wide as the swizzle's span, one after the other.
struct OperandLayout {
  ptx::Swizzle swizzle;
  ptx::Major major;
  int rows;

  DEVICE int span() const { return 16 << static_cast<int>(swizzle); }  // bytes
  DEVICE uint32_t leading_bytes() const {
    if (swizzle == ptx::Swizzle::none) return 128;
    return major == ptx::Major::mn ? static_cast<uint32_t>(kTileK * span()) : 16;
  }
  DEVICE uint32_t stride_bytes() const {
    if (swizzle == ptx::Swizzle::none) return 128 * kTileK / 8;
    return static_cast<uint32_t>(8 * span());
  }
  DEVICE uint32_t offset(int row, int k) const {
    if (swizzle == ptx::Swizzle::none) {  // 8x8 core matrices of 128 contiguous bytes
      const int in_core = major == ptx::Major::k ? row % 8 * 16 + k % 8 * 2 : k % 8 * 16 + row % 8 * 2;
      return static_cast<uint32_t>(row / 8) * stride_bytes() + static_cast<uint32_t>(k / 8 * 128 + in_core);
    }
    const int panel_elements = span() / 2;
    const int contiguous = major == ptx::Major::k ? k : row, line = major == ptx::Major::k ? row : k;
    const int lines = major == ptx::Major::k ? rows : kTileK;
    const int panel = contiguous / panel_elements * lines * span();
    const auto linear = static_cast<uint32_t>(panel + line * span() + contiguous % panel_elements * 2);
    const uint32_t mask = (1u << static_cast<int>(swizzle)) - 1;
    return linear ^ ((linear >> 7 & mask) << 4);
  }
  // Offset of the descriptor's start for the k-th element (a multiple of 16).
  DEVICE uint32_t step(int k) const {
    if (swizzle == ptx::Swizzle::none) return static_cast<uint32_t>(k / 8 * 128);
    if (major == ptx::Major::mn) return static_cast<uint32_t>(k * span());
    return static_cast<uint32_t>(k / (span() / 2) * rows * span() + k % (span() / 2) * 2);
  }
};

// How many elements lie where one of 16 bits does, and so along K of a tile.
template <class T>
constexpr int kPacked = 2 / static_cast<int>(sizeof(T));
template <class T>
constexpr int kDepth = kTileK * kPacked<T>;

template <class T>
DEVICE void fill_operand(uint8_t* shared, const OperandLayout& layout, const T* source, int thread) {
  for (int i = thread; i < layout.rows * kDepth<T>; i += 128) {
    const int k = i % kDepth<T>;
    const uint32_t offset =
        layout.offset(i / kDepth<T>, k / kPacked<T>) + static_cast<uint32_t>(k % kPacked<T>);
    *reinterpret_cast<T*>(&shared[offset]) = source[i];
  }
}

struct alignas(1024) WgmmaStorage {
  uint8_t a[kTileM * kTileK * 2];
  uint8_t b[256 * kTileK * 2];
};

// d[64][n] = a[64][kDepth] * b[n][kDepth]^T + initial; A through registers when kRegisters.
template <class T, int kN, bool kRegisters, ptx::Swizzle kSwizzle, ptx::Major kMajorA, ptx::Major kMajorB>
__global__ void __launch_bounds__(128) wgmma_tile(const T* a, const T* b, float* d, float initial) {
  SHARED_STORAGE(WgmmaStorage, shared);
  const OperandLayout layout_a{kSwizzle, kMajorA, kTileM}, layout_b{kSwizzle, kMajorB, kN};
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  fill_operand(shared.a, layout_a, a, thread);
  fill_operand(shared.b, layout_b, b, thread);
  ptx::fence_proxy_async();
  __syncthreads();
  REGS(float, accumulator, [kN / 2]);
  UNROLL
  for (int i = 0; i < kN / 2; i++) accumulator[i] = initial;
  uint32_t fragment[kTileK / 16][4];
  if constexpr (kRegisters) {
    UNROLL
    for (int step = 0; step < kTileK / 16; step++) {
      const int row = warp * 16 + lane % 16, k = step * 16 + lane / 16 * 8;
      ptx::ldmatrix_x4(fragment[step], ptx::cvta_to_shared(&shared.a[layout_a.offset(row, k)]));
      ptx::wgmma_fence_operand(fragment[step]);
    }
  }
  ptx::wgmma_fence_operand(accumulator);
  ptx::wgmma_fence();
  UNROLL
  for (int step = 0; step < kTileK / 16; step++) {
    const uint64_t descriptor_b =
        ptx::wgmma_descriptor(ptx::cvta_to_shared(shared.b) + layout_b.step(step * 16),
                              layout_b.leading_bytes(), layout_b.stride_bytes(), kSwizzle);
    if constexpr (kRegisters) {
      ptx::wgmma_m64k16<T, kN, kMajorB>(accumulator, fragment[step], descriptor_b, 1);
    } else {
      const uint64_t descriptor_a =
          ptx::wgmma_descriptor(ptx::cvta_to_shared(shared.a) + layout_a.step(step * 16),
                                layout_a.leading_bytes(), layout_a.stride_bytes(), kSwizzle);
      if constexpr (sizeof(T) == 1) {
        ptx::wgmma_m64k32<kN>(accumulator, descriptor_a, descriptor_b, 1);
      } else {
        ptx::wgmma_m64k16<T, kN, kMajorA, kMajorB>(accumulator, descriptor_a, descriptor_b, 1);
      }
    }
  }
  ptx::wgmma_commit_group();
  ptx::wgmma_wait_group<0>();
  ptx::wgmma_fence_operand(accumulator);
  UNROLL
  for (int i = 0; i < kN / 2; i++) {
    const int row = warp * 16 + lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    d[row * kN + column] = accumulator[i];
  }
}

// Small integers: every product and sum is exact in fp32, so results compare bit by bit.
template <class T>
std::vector<T> small_integers(size_t count, Random& random) {
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(static_cast<float>(random.integer(-8, 8)));
  return values;
}

template <class T>
struct WgmmaResult {
  std::vector<T> a, b;   // [64][kDepth], [n][kDepth]
  std::vector<float> d;  // [64][n]
};

template <class T, int kN, bool kRegisters, ptx::Swizzle kSwizzle, ptx::Major kMajorA, ptx::Major kMajorB>
WgmmaResult<T> run_wgmma(const std::string& name, float initial) {
  Random random(kN);
  WgmmaResult<T> result{
      small_integers<T>(kTileM * kDepth<T>, random), small_integers<T>(kN * kDepth<T>, random), {}};
  DeviceBuffer<T> a(result.a), b(result.b);
  DeviceBuffer<float> d(kTileM * kN);
  check_ok(launch(wgmma_tile<T, kN, kRegisters, kSwizzle, kMajorA, kMajorB>,
                  {.grid = 1, .block = 128, .shared_bytes = sizeof(WgmmaStorage)}, a.data(), b.data(),
                  d.data(), initial),
           name);
  result.d = d.download();
  return result;
}

// visit(name, result, n, initial) for the layouts that kernels use and the corners of the rest.
template <class Visit>
void for_each_wgmma_case(Visit visit) {
  using ptx::Major;
  using ptx::Swizzle;
  const auto run =
      [&]<class T, int kN, bool kRegisters, Swizzle kSwizzle, Major kA, Major kB>(const char* type) {
        const std::string name = std::string("wgmma m64n") + std::to_string(kN) +
                                 (sizeof(T) == 1 ? "k32 " : "k16 ") + type +
                                 (kRegisters        ? " A registers"
                                  : kA == Major::mn ? " A mn-major"
                                                    : " A k-major") +
                                 (kB == Major::mn ? " B mn-major" : " B k-major") + " swizzle " +
                                 std::to_string(static_cast<int>(kSwizzle));
        const float initial = kN == 64 ? 3.0f : 0.0f;
        visit(name, run_wgmma<T, kN, kRegisters, kSwizzle, kA, kB>(name, initial), kN, initial);
      };
  run.template operator()<bf16, 8, false, Swizzle::b128, Major::k, Major::k>("bf16");
  run.template operator()<bf16, 24, true, Swizzle::b64, Major::k, Major::k>("bf16");
  run.template operator()<bf16, 64, false, Swizzle::none, Major::k, Major::k>("bf16");
  run.template operator()<bf16, 64, false, Swizzle::b32, Major::k, Major::k>("bf16");
  run.template operator()<bf16, 64, false, Swizzle::b64, Major::k, Major::k>("bf16");
  run.template operator()<bf16, 64, false, Swizzle::none, Major::mn, Major::mn>("bf16");
  run.template operator()<bf16, 64, false, Swizzle::b32, Major::mn, Major::mn>("bf16");
  run.template operator()<bf16, 64, false, Swizzle::b64, Major::mn, Major::mn>("bf16");
  run.template operator()<fp16, 64, false, Swizzle::b128, Major::mn, Major::k>("fp16");
  run.template operator()<fp16, 64, true, Swizzle::b128, Major::k, Major::mn>("fp16");
  run.template operator()<bf16, 128, false, Swizzle::b128, Major::k, Major::k>("bf16");
  run.template operator()<fp16, 128, true, Swizzle::b128, Major::k, Major::k>("fp16");
  run.template operator()<fp16, 192, false, Swizzle::b128, Major::k, Major::mn>("fp16");
  run.template operator()<bf16, 256, false, Swizzle::b128, Major::k, Major::k>("bf16");
  run.template operator()<bf16, 256, true, Swizzle::b128, Major::k, Major::mn>("bf16");
  run.template operator()<e4m3, 8, false, Swizzle::b128, Major::k, Major::k>("e4m3");
  run.template operator()<e4m3, 64, false, Swizzle::none, Major::k, Major::k>("e4m3");
  run.template operator()<e4m3, 128, false, Swizzle::b128, Major::k, Major::k>("e4m3");
  run.template operator()<e4m3, 256, false, Swizzle::b64, Major::k, Major::k>("e4m3");
}

}  // namespace padless::cuda::test
