// Vec on NEON: 4 floats. See vec.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace padless::simd {
namespace {

struct Vec {
  static constexpr int kLanes = 4;
  float32x4_t v;
};

inline Vec zero() { return {vdupq_n_f32(0)}; }
inline Vec broadcast(float x) { return {vdupq_n_f32(x)}; }
inline Vec load(const float* p) { return {vld1q_f32(p)}; }
inline Vec load(const float* p, int n) {
  float32x4_t a = vdupq_n_f32(0);
  if (n >= 4) return load(p);
  if (n >= 2) a = vcombine_f32(vld1_f32(p), vdup_n_f32(0));
  if (n == 1) a = vld1q_lane_f32(p, a, 0);
  if (n == 3) a = vld1q_lane_f32(p + 2, a, 2);
  return {a};
}
inline void store(float* p, Vec a) { vst1q_f32(p, a.v); }
inline void store(float* p, Vec a, int n) {
  if (n >= 4) return store(p, a);
  if (n >= 2) vst1_f32(p, vget_low_f32(a.v));
  if (n == 1) vst1q_lane_f32(p, a.v, 0);
  if (n == 3) vst1q_lane_f32(p + 2, a.v, 2);
}

inline uint16x4_t load_halves(const uint16_t* p, int n) {
  uint16_t lanes[4] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return vld1_u16(lanes);
}
inline Vec widen_bf16(uint16x4_t halves) { return {vreinterpretq_f32_u32(vshll_n_u16(halves, 16))}; }
inline Vec widen_f16(uint16x4_t halves) { return {vcvt_f32_f16(vreinterpret_f16_u16(halves))}; }
inline Vec load_bf16(const uint16_t* p) { return widen_bf16(vld1_u16(p)); }
inline Vec load_bf16(const uint16_t* p, int n) { return widen_bf16(load_halves(p, n)); }
inline Vec load_f16(const uint16_t* p) { return widen_f16(vld1_u16(p)); }
inline Vec load_f16(const uint16_t* p, int n) { return widen_f16(load_halves(p, n)); }

inline Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
inline Vec quotient(Vec a, Vec b) { return a / b; }
inline Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
inline Vec fnma(Vec a, Vec b, Vec c) { return {vfmsq_f32(c.v, a.v, b.v)}; }
inline Vec max(Vec a, Vec b) { return {vmaxq_f32(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {vminq_f32(a.v, b.v)}; }
inline Vec abs(Vec a) { return {vabsq_f32(a.v)}; }
inline Vec sqrt(Vec a) { return {vsqrtq_f32(a.v)}; }
inline Vec round(Vec a) { return {vrndnq_f32(a.v)}; }
inline Vec scale_by_power_of_two(Vec a, Vec n) {
  const int32x4_t exponent = vshlq_n_s32(vcvtq_s32_f32(n.v), 23);
  return {vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(a.v), exponent))};
}
inline Vec copy_sign(Vec magnitude, Vec sign) {
  return {vbslq_f32(vdupq_n_u32(0x80000000u), sign.v, magnitude.v)};
}
inline Vec where_less(Vec a, Vec b, Vec x, Vec y) { return {vbslq_f32(vcltq_f32(a.v, b.v), x.v, y.v)}; }
inline float reduce_add(Vec a) { return vaddvq_f32(a.v); }
inline float reduce_max(Vec a) { return vmaxvq_f32(a.v); }

}  // namespace
}  // namespace padless::simd
