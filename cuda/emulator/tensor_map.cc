// cuTensorMapEncodeTiled's rules, as the driver API documents them.
#include "cuda/emulator/tensor_map.h"

#include "cuda/emulator/tma_state.h"

namespace padless::cuda::emulator {

const char* encode_tensor_map(TensorMap& map, const void* base, unsigned rank, unsigned element_bytes,
                              const uint64_t* extent, const uint64_t* stride_bytes, const uint32_t* box,
                              unsigned swizzle) {
  constexpr uint64_t kMaxExtent = 1ull << 32, kMaxStride = 1ull << 40;
  constexpr unsigned kMaxBox = 256, kAlignment = 16;
  if (reinterpret_cast<uintptr_t>(base) % kAlignment != 0) return "base is not 16-byte aligned";
  if (rank < 1 || rank > kMaxTensorRank) return "rank is not in 1..5";
  map = TensorMap{};
  map.base = base;
  map.rank = static_cast<uint8_t>(rank);
  map.element_bytes = static_cast<uint8_t>(element_bytes);
  map.swizzle = static_cast<uint8_t>(swizzle);
  map.stride_bytes[0] = element_bytes;
  for (unsigned i = 0; i < rank; i++) {
    if (extent[i] == 0 || extent[i] > kMaxExtent) return "extent is not in 1..2^32";
    if (box[i] == 0 || box[i] > kMaxBox) return "box is not in 1..256";
    map.extent[i] = extent[i];
    map.box[i] = static_cast<uint16_t>(box[i]);
    if (i == 0) continue;
    if (stride_bytes[i - 1] % kAlignment != 0) return "stride is not a multiple of 16 bytes";
    if (stride_bytes[i - 1] >= kMaxStride) return "stride is not below 2^40";
    map.stride_bytes[i] = stride_bytes[i - 1];
  }
  const unsigned inner_bytes = box[0] * element_bytes, span = swizzle_span_bytes(swizzle);
  if (inner_bytes % kAlignment != 0) return "inner box is not a multiple of 16 bytes";
  if (span != 0 && inner_bytes > span) return "inner box is wider than the swizzle span";
  map.magic = kTensorMapMagic;
  return nullptr;
}

}  // namespace padless::cuda::emulator
