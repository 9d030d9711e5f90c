// The emulator's CUtensorMap: a tiled view of a global tensor. Opaque to kernels.
#pragma once

#include <cstdint>

namespace padless::cuda::emulator {

constexpr unsigned kMaxTensorRank = 5;

struct alignas(64) TensorMap {
  const void* base;
  uint64_t extent[kMaxTensorRank];        // elements, fastest first
  uint64_t stride_bytes[kMaxTensorRank];  // stride_bytes[0] is the element size
  uint16_t box[kMaxTensorRank];           // elements
  uint8_t rank, element_bytes;
  uint8_t swizzle;  // 0 none, 1 32 bytes, 2 64 bytes, 3 128 bytes
  uint8_t magic;
};

// Why cuTensorMapEncodeTiled would refuse, or nullptr. `stride_bytes` has rank - 1 entries, from dimension 1
// on.
const char* encode_tensor_map(TensorMap& map, const void* base, unsigned rank, unsigned element_bytes,
                              const uint64_t* extent, const uint64_t* stride_bytes, const uint32_t* box,
                              unsigned swizzle);

constexpr unsigned swizzle_span_bytes(unsigned swizzle) { return swizzle == 0 ? 0 : 16u << swizzle; }

// Bits 4.. of a shared address are xored with bits 7..: one for 32-byte, two for 64-byte, three for 128-byte
// swizzle.
constexpr uint32_t swizzle_address(uint32_t address, unsigned swizzle) {
  const uint32_t bits = (1u << swizzle) - 1;
  return address ^ (((address >> 7) & bits) << 4);
}

}  // namespace padless::cuda::emulator
