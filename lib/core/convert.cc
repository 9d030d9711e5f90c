#include "lib/core/convert.h"

#include <cstring>

namespace padless {
namespace {

template <class T>
T load(const void* data, int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

template <class T>
void store(void* data, int64_t index, T value) {
  std::memcpy(static_cast<char*>(data) + index * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

float read_float(const void* data, DType dtype, int64_t index) {
  switch (dtype) {
    case DType::kF16:
      return f16_to_float(load<uint16_t>(data, index));
    case DType::kBF16:
      return bf16_to_float(load<uint16_t>(data, index));
    default:
      return load<float>(data, index);
  }
}

void write_float(void* data, DType dtype, int64_t index, float value) {
  switch (dtype) {
    case DType::kF16:
      return store(data, index, float_to_f16(value));
    case DType::kBF16:
      return store(data, index, float_to_bf16(value));
    default:
      return store(data, index, value);
  }
}

}  // namespace

void convert_elements(const void* from, DType from_dtype, void* to, DType to_dtype, int64_t count) {
  if (from_dtype == to_dtype) {
    if (count > 0) std::memcpy(to, from, static_cast<size_t>(count) * dtype_size(to_dtype));
    return;
  }
  for (int64_t i = 0; i < count; ++i) write_float(to, to_dtype, i, read_float(from, from_dtype, i));
}

}  // namespace padless
