// Eight elements at a time: 16 bytes of a 16-bit type, 32 of f32. What a thread loads, converts to f32, and
// stores.
#pragma once

#include "cuda/platform.cuh"
#include "cuda/ptx/math.cuh"

namespace padless::cuda {

constexpr int kVectorElements = 8;

template <class T>
struct RawVector {
  uint4 parts[sizeof(T) * kVectorElements / sizeof(uint4)];
};

// Both halves of a 32-bit word of two T as f32.
template <class T>
DEVICE float low_half(uint32_t word) {
  if constexpr (std::is_same_v<T, bf16>)
    return __uint_as_float(word << 16);
  else
    return static_cast<float>(*reinterpret_cast<const fp16*>(&word));
}
template <class T>
DEVICE float high_half(uint32_t word) {
  if constexpr (std::is_same_v<T, bf16>)
    return __uint_as_float(word & 0xffff0000u);
  else
    return static_cast<float>(*(reinterpret_cast<const fp16*>(&word) + 1));
}

template <class T>
DEVICE void unpack(float (&values)[kVectorElements], const RawVector<T>& raw) {
  if constexpr (std::is_same_v<T, float>) {
    const uint32_t words[8] = {raw.parts[0].x, raw.parts[0].y, raw.parts[0].z, raw.parts[0].w,
                               raw.parts[1].x, raw.parts[1].y, raw.parts[1].z, raw.parts[1].w};
    UNROLL
    for (int i = 0; i < 8; i++) values[i] = __uint_as_float(words[i]);
  } else {
    const uint32_t words[4] = {raw.parts[0].x, raw.parts[0].y, raw.parts[0].z, raw.parts[0].w};
    UNROLL
    for (int i = 0; i < 4; i++) {
      values[2 * i] = low_half<T>(words[i]);
      values[2 * i + 1] = high_half<T>(words[i]);
    }
  }
}

template <class T>
DEVICE RawVector<T> pack(const float (&values)[kVectorElements]) {
  RawVector<T> raw;
  if constexpr (std::is_same_v<T, float>) {
    raw.parts[0] = make_uint4(__float_as_uint(values[0]), __float_as_uint(values[1]),
                              __float_as_uint(values[2]), __float_as_uint(values[3]));
    raw.parts[1] = make_uint4(__float_as_uint(values[4]), __float_as_uint(values[5]),
                              __float_as_uint(values[6]), __float_as_uint(values[7]));
  } else {
    raw.parts[0] =
        make_uint4(ptx::cvt_rn_x2<T>(values[0], values[1]), ptx::cvt_rn_x2<T>(values[2], values[3]),
                   ptx::cvt_rn_x2<T>(values[4], values[5]), ptx::cvt_rn_x2<T>(values[6], values[7]));
  }
  return raw;
}

// A 16-byte aligned vector.
template <class T>
DEVICE RawVector<T> load_aligned(const T* source) {
  RawVector<T> raw;
  UNROLL
  for (size_t i = 0; i < sizeof(raw.parts) / sizeof(uint4); i++) {
    raw.parts[i] = reinterpret_cast<const uint4*>(source)[i];
  }
  return raw;
}
template <class T>
DEVICE void store_aligned(T* destination, const RawVector<T>& raw) {
  UNROLL
  for (size_t i = 0; i < sizeof(raw.parts) / sizeof(uint4); i++) {
    reinterpret_cast<uint4*>(destination)[i] = raw.parts[i];
  }
}

// The first `count` (any number) elements at any address; the others are 0.
template <class T>
DEVICE void load_elements(float (&values)[kVectorElements], const T* source, int count) {
  UNROLL
  for (int i = 0; i < kVectorElements; i++) values[i] = i < count ? static_cast<float>(source[i]) : 0.0f;
}
template <class T>
DEVICE void store_elements(T* destination, const float (&values)[kVectorElements], int count) {
  UNROLL
  for (int i = 0; i < kVectorElements; i++) {
    if (i < count) destination[i] = static_cast<T>(values[i]);
  }
}

// One or the other: an aligned vector where the rows are of `whole` ones, otherwise the first `count`
// elements.
template <class T>
DEVICE void load_vector(float (&values)[kVectorElements], const T* source, int count, bool whole) {
  if (whole)
    unpack(values, load_aligned(source));
  else
    load_elements(values, source, count);
}
template <class T>
DEVICE void store_vector(T* destination, const float (&values)[kVectorElements], int count, bool whole) {
  if (whole)
    store_aligned(destination, pack<T>(values));
  else
    store_elements(destination, values, count);
}

}  // namespace padless::cuda
