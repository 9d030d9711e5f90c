// Operands of wgmma as the sm_90a GEMMs keep them in shared memory: rows of 128 bytes of K, as TMA writes
// them with 128-byte swizzle.
#pragma once

#include "cuda/ptx/address.cuh"
#include "cuda/ptx/wgmma.cuh"

namespace padless::cuda {

constexpr int kWarpgroup = 128, kWgmmaRows = 64;
constexpr int kOperandBytes = 128, kWgmmaBytes = 32;  // of K: of a row in a stage, of one wgmma
constexpr int kWgmmasOfStage = kOperandBytes / kWgmmaBytes;

template <class T, int kCols>
DEVICE uint64_t operand_descriptor(const T (*rows)[kCols]) {
  static_assert(sizeof(T) * kCols == kOperandBytes);
  constexpr uint32_t kEightRows = 8 * kOperandBytes, kUnused = 16;
  return ptx::wgmma_descriptor(ptx::cvta_to_shared(rows), kUnused, kEightRows, ptx::Swizzle::b128);
}

// The same, `rows` (a multiple of eight) further down and `wgmmas` further along K.
DEVICE uint64_t at_operand(uint64_t descriptor, int rows, int wgmmas) {
  constexpr int kUnit = 16;  // bytes, of a descriptor's address
  return descriptor + static_cast<uint64_t>((rows * kOperandBytes + wgmmas * kWgmmaBytes) / kUnit);
}

// d[64][n] (+)= a b, 32 bytes of K.
template <class T, int kN>
DEVICE void multiply_operands(float (&d)[kN / 2], uint64_t a, uint64_t b, int scale_d) {
  if constexpr (std::is_same_v<T, e4m3>)
    ptx::wgmma_m64k32<kN>(d, a, b, scale_d);
  else
    ptx::wgmma_m64k16<T, kN>(d, a, b, scale_d);
}

// Tensor cores add products of e4m3 with about 14 bits, cutting off the rest (DeepSeek-V3's report, section
// 3.3.2): what they have summed over a stage is then added to a sum in f32.
template <class T>
constexpr bool kSumsByStage = std::is_same_v<T, e4m3>;

}  // namespace padless::cuda
