#include "lib/io/finite.h"

#include <algorithm>
#include <cstring>

#include "lib/io/safetensors_header.h"

namespace padless {

namespace {

/** Elements of one vectorised sweep: small enough to stay in L1, large enough to drown the test after it. */
constexpr int64_t kBlock = 2048;

// A float is NaN or infinity exactly when all its exponent bits are set. The accumulator has no early exit,
// so that the compiler vectorises the loop.
template <class Bits>
bool block_is_finite(const std::byte* data, int64_t count, Bits exponent) {
  Bits block[kBlock];
  std::memcpy(block, data, static_cast<size_t>(count) * sizeof(Bits));
  Bits bad = 0;
  for (int64_t i = 0; i < count; ++i) {
    bad |= static_cast<Bits>((block[i] & exponent) == exponent);
  }
  return bad == 0;
}

/** Index of the first element that is not finite, or -1. */
template <class Bits>
int64_t first_non_finite(const void* data, int64_t count, Bits exponent) {
  const std::byte* const bytes = static_cast<const std::byte*>(data);
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t length = std::min(kBlock, count - start);
    if (block_is_finite<Bits>(bytes + start * static_cast<int64_t>(sizeof(Bits)), length, exponent)) continue;
    int64_t index = start;
    while (block_is_finite<Bits>(bytes + index * static_cast<int64_t>(sizeof(Bits)), 1, exponent)) ++index;
    return index;
  }
  return -1;
}

}  // namespace

Status check_finite(const HostTensor& tensor, const std::string& name) {
  int64_t index = -1;
  switch (tensor.dtype) {
    case DType::kF32:
      index = first_non_finite<uint32_t>(tensor.data, tensor.elements(), 0x7f800000u);
      break;
    case DType::kF16:
      index = first_non_finite<uint16_t>(tensor.data, tensor.elements(), 0x7c00u);
      break;
    case DType::kBF16:
      index = first_non_finite<uint16_t>(tensor.data, tensor.elements(), 0x7f80u);
      break;
    default:
      break;
  }
  if (index < 0) return Status::ok();
  return Status(Code::kBadWeights,
                concat("tensor ", quoted_name(name), " holds NaN or infinity at element ", index,
                       "; export the checkpoint again, in float32 if it overflowed float16"),
                name);
}

}  // namespace padless
