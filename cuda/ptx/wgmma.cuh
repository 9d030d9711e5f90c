// wgmma (sm_90a): a warpgroup multiplies asynchronously, D[64 x n] (+)= A[64 x k] * B[k x n], n = 8, 16 ..
// 256; k = 16, or 32 for e4m3.
//
// A comes from shared memory or registers, B from shared memory; T is bf16 or fp16. Lane l of warp w holds of
// D the rows 16 * w + l / 4 and 8 more, columns 8 * j + 2 * (l % 4) and the next: d[4 * j + 2 * (row half) +
// column]. Between a write to registers or a wait and the next wgmma stands wgmma_fence(); accumulators and A
// registers are not touched, and shared operands not overwritten, before wgmma_wait_group() says so.
#pragma once

#include "cuda/ptx/tensor_map.cuh"
#include "cuda/ptx/wgmma_shapes.cuh"

namespace padless::cuda::ptx {

enum class Major { k, mn };  // the contiguous dimension of an operand in shared memory

// A matrix descriptor. `leading_bytes` and `stride_bytes` are the offsets between core matrices (PTX manual,
// "Strides"): K-major with swizzle: the leading offset is unused and the stride is 8 rows; MN-major with
// swizzle: the leading offset is one span further along M or N, the stride 8 further along K.
DEVICE uint64_t wgmma_descriptor(uint32_t address, uint32_t leading_bytes, uint32_t stride_bytes,
                                 Swizzle swizzle) {
  const uint64_t layout_type = swizzle == Swizzle::none ? 0 : 4 - static_cast<uint64_t>(swizzle);
  return uint64_t{(address & 0x3FFFF) >> 4} | uint64_t{leading_bytes >> 4} << 16 |
         uint64_t{stride_bytes >> 4} << 32 | layout_type << 62;
}

// wgmma.fence.sync.aligned
DEVICE void wgmma_fence(CALL_SITE_ONLY) {
#if PADLESS_EMULATED
  emulator::wgmma_fence(call_site);
#else
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

// No instruction: keeps the compiler from moving accesses to these registers across this point. It goes
// before wgmma_fence() for accumulators and A fragments that ordinary code wrote, and after the wait for
// those it reads.
template <class Register, int kCount>
DEVICE void wgmma_fence_operand([[maybe_unused]] Register (&registers)[kCount]) {
#if !PADLESS_EMULATED
  UNROLL
  for (int i = 0; i < kCount; i++) {
    if constexpr (std::is_same_v<Register, float>) {
      asm volatile("" : "+f"(registers[i])::"memory");
    } else {
      asm volatile("" : "+r"(registers[i])::"memory");
    }
  }
#endif
}

// wgmma.commit_group.sync.aligned
DEVICE void wgmma_commit_group(CALL_SITE_ONLY) {
#if PADLESS_EMULATED
  emulator::wgmma_commit_group(call_site);
#else
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

// wgmma.wait_group.sync.aligned N: at most N of this warpgroup's groups are still in flight.
template <int kInFlight>
DEVICE void wgmma_wait_group(CALL_SITE_ONLY) {
#if PADLESS_EMULATED
  emulator::wgmma_wait_group(kInFlight, call_site);
#else
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kInFlight) : "memory");
#endif
}

// wgmma.mma_async.sync.aligned.m64nNk16.f32.T.T, A and B from shared memory. scale_d 0 overwrites d.
template <class T, int kN, Major kMajorA = Major::k, Major kMajorB = Major::k>
DEVICE void wgmma_m64k16(float (&d)[kN / 2], uint64_t a, uint64_t b, int scale_d CALL_SITE) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, fp16>);
#if PADLESS_EMULATED
  constexpr emulator::Element kType =
      std::is_same_v<T, bf16> ? emulator::Element::bf16 : emulator::Element::fp16;
  emulator::wgmma({d, kN, nullptr, a, b, scale_d != 0, kMajorA == Major::mn, kMajorB == Major::mn, kType},
                  call_site);
#else
  WgmmaShape<kN>::template from_shared<T, kMajorA == Major::mn, kMajorB == Major::mn>(d, a, b, scale_d);
#endif
}

// ... with A from registers: the m16k16 fragment (see mma.cuh) of each warp's 16 rows.
template <class T, int kN, Major kMajorB = Major::k>
DEVICE void wgmma_m64k16(float (&d)[kN / 2], const uint32_t (&a)[4], uint64_t b, int scale_d CALL_SITE) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, fp16>);
#if PADLESS_EMULATED
  constexpr emulator::Element kType =
      std::is_same_v<T, bf16> ? emulator::Element::bf16 : emulator::Element::fp16;
  emulator::wgmma({d, kN, a, 0, b, scale_d != 0, false, kMajorB == Major::mn, kType}, call_site);
#else
  WgmmaShape<kN>::template from_registers<T, kMajorB == Major::mn>(d, a, b, scale_d);
#endif
}

// wgmma.mma_async.sync.aligned.m64nNk32.f32.e4m3.e4m3, A and B from shared memory, both K-major.
template <int kN>
DEVICE void wgmma_m64k32(float (&d)[kN / 2], uint64_t a, uint64_t b, int scale_d CALL_SITE) {
#if PADLESS_EMULATED
  emulator::wgmma({d, kN, nullptr, a, b, scale_d != 0, false, false, emulator::Element::e4m3}, call_site);
#else
  WgmmaShape<kN>::from_shared_e4m3(d, a, b, scale_d);
#endif
}

}  // namespace padless::cuda::ptx
