#include "lib/engine/weights.h"

#include <cstring>

namespace padless {

void read_floats(const HostTensor& tensor, int64_t first, int64_t count, float* dst) {
  // Tensors of a mapped file may lie at any byte: memcpy, not a typed load.
  const char* src =
      static_cast<const char*>(tensor.data) + first * static_cast<int64_t>(dtype_size(tensor.dtype));
  if (tensor.dtype == DType::kF32) {
    std::memcpy(dst, src, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, src + i * 2, sizeof bits);
    dst[i] = tensor.dtype == DType::kBF16 ? bf16_to_float(bits) : f16_to_float(bits);
  }
}

}  // namespace padless
