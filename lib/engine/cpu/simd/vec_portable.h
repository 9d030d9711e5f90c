// Vec for every processor: 4 floats in the compiler's own vector type. See vec.h.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace padless::simd {
namespace {

typedef float Float4 __attribute__((vector_size(16)));
typedef int32_t Int4 __attribute__((vector_size(16)));

struct Vec {
  static constexpr int kLanes = 4;
  Float4 v;
};

inline Float4 as_float(Int4 bits) { return reinterpret_cast<Float4>(bits); }
inline Int4 as_int(Float4 value) { return reinterpret_cast<Int4>(value); }
inline Vec select(Int4 mask, Vec x, Vec y) {
  return {as_float((mask & as_int(x.v)) | (~mask & as_int(y.v)))};
}

inline Vec zero() { return {Float4{0, 0, 0, 0}}; }
inline Vec broadcast(float x) { return {Float4{x, x, x, x}}; }
inline Vec load(const float* p) {
  Vec a;
  std::memcpy(&a.v, p, sizeof a.v);
  return a;
}
inline Vec load(const float* p, int n) {
  Vec a = zero();
  for (int i = 0; i < n; ++i) a.v[i] = p[i];
  return a;
}
inline void store(float* p, Vec a) { std::memcpy(p, &a.v, sizeof a.v); }
inline void store(float* p, Vec a, int n) {
  for (int i = 0; i < n; ++i) p[i] = a.v[i];
}

inline Vec load_bf16(const uint16_t* p, int n) {
  Int4 bits{};
  for (int i = 0; i < n; ++i) bits[i] = static_cast<int32_t>(uint32_t{p[i]} << 16);
  return {as_float(bits)};
}
inline Vec load_bf16(const uint16_t* p) { return load_bf16(p, 4); }
inline Vec load_f16(const uint16_t* p, int n) {
  // Half to float by shifting the bits into place and rescaling by 2^112, exact for subnormals too; the
  // all-ones exponent (infinity and NaN) is set again afterwards.
  Int4 bits{};
  for (int i = 0; i < n; ++i) bits[i] = p[i];
  const Int4 magnitude = (bits & 0x7fff) << 13;
  const Int4 sign = (bits & 0x8000) << 16;
  const Float4 scaled = as_float(magnitude) * 0x1p112f;
  const Int4 special = (bits & 0x7c00) == 0x7c00;
  return {as_float(as_int(scaled) | sign | (special & 0x7f800000))};
}
inline Vec load_f16(const uint16_t* p) { return load_f16(p, 4); }

inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
inline Vec quotient(Vec a, Vec b) { return a / b; }
inline Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
inline Vec fnma(Vec a, Vec b, Vec c) { return {c.v - a.v * b.v}; }
inline Vec max(Vec a, Vec b) { return select(a.v > b.v, a, b); }
inline Vec min(Vec a, Vec b) { return select(a.v < b.v, a, b); }
inline Vec abs(Vec a) { return {as_float(as_int(a.v) & 0x7fffffff)}; }
inline Vec sqrt(Vec a) {
  for (int i = 0; i < 4; ++i) a.v[i] = __builtin_sqrtf(a.v[i]);
  return a;
}
inline Vec round(Vec a) {
  // Adding and subtracting 1.5 * 2^23 leaves the whole part, rounded to even; larger values are whole
  // already.
  const Vec magic = broadcast(0x1.8p23f);
  const Vec whole{(a.v + magic.v) - magic.v};
  return select(abs(a).v < broadcast(0x1p22f).v, whole, a);
}
inline Vec scale_by_power_of_two(Vec a, Vec n) {
  return {as_float(as_int(a.v) + (__builtin_convertvector(n.v, Int4) << 23))};
}
inline Vec copy_sign(Vec magnitude, Vec sign) {
  const Int4 sign_bit = {INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN};
  return select(sign_bit, sign, magnitude);
}
inline Vec where_less(Vec a, Vec b, Vec x, Vec y) { return select(a.v < b.v, x, y); }
inline float reduce_add(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
inline float reduce_max(Vec a) {
  const float low = a.v[0] > a.v[1] ? a.v[0] : a.v[1];
  const float high = a.v[2] > a.v[3] ? a.v[2] : a.v[3];
  return low > high ? low : high;
}

}  // namespace
}  // namespace padless::simd
