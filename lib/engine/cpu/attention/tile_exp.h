// Powers of two of scores, as the pairs of bf16 that a tile of probabilities holds: one row of 32 keys at a
// time, keys i and i + 16 side by side.
//
// While tiles multiply, only one of a core's two ports takes floating point of 512 bits, but both take
// integers. So scores that are bounded leave the tiles in fixed point: sums that begin with 1.5 * 2^(15 - e)
// end with their units of 2^-(8 + e) in the lowest 16 bits, rounded once. From there on all is 16-bit
// integers: times the scale of scores, plus what 2^f - 1 differs from f by (a table of the fraction's first
// six bits), they are the exponent and mantissa of a bf16.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "lib/engine/cpu/attention/lanes.h"

namespace padless::avx512 {
namespace {

/** In log2 units: then 2^S and its sums keep far from the ends of fp32, and fixed point has room for S. */
constexpr float kBoundedScore = 60;

constexpr __mmask32 kUpperHalves = 0xaaaaaaaa;

/** A bit each of 16 keys and the 16 after them, as the pairs of a row lie. */
inline __mmask32 pair_mask(uint32_t keys) {
  return _pdep_u32(keys, ~kUpperHalves) | _pdep_u32(keys >> kLanes, kUpperHalves);
}

/** 2^x, relative error 8e-5; NaN stays NaN. */
inline Vec exp2(Vec x) {
  constexpr int kFloor = 1;
  const Vec r = {_mm512_reduce_ps(x.v, kFloor)};
  Vec p = fma(broadcast(0.0780245231f), r, broadcast(0.226067155f));
  p = fma(p, r, broadcast(0.695833541f));
  p = fma(p, r, broadcast(0.999925219f));
  return {_mm512_scalef_ps(p.v, x.v)};
}

/** 2^low and 2^high, cut to bf16. */
inline __m512i exp2_pairs(Vec low, Vec high) {
  return _mm512_mask_blend_epi16(kUpperHalves, _mm512_srli_epi32(_mm512_castps_si512(exp2(low).v), 16),
                                 _mm512_castps_si512(exp2(high).v));
}

/** 256 * (2^f - f) in the middle of each 64th from 0 to 1: all are less than 256. */
struct ExponentDifferences {
  constexpr ExponentDifferences() {
    double power = 1.0054299011128028;  // 2^(1/128)
    for (int i = 0; i < 64; ++i, power *= 1.0108892860517005) {
      bytes[i] = static_cast<uint8_t>(256 * (power - (i + 0.5) / 64) + 0.5);
    }
  }
  alignas(64) uint8_t bytes[64] = {};
};
constexpr ExponentDifferences kDifferences;

/** 2^(factor * S) of scores S in fixed point, relative error 0.6% with a mean of 0.2%. */
class FixedExp2 {
 public:
  explicit FixedExp2(float factor) {
    int exponent = 0;
    const float mantissa = __builtin_frexpf(factor, &exponent);
    fits_ = exponent > -kMostExponent && exponent < kMostExponent;
    start_ = fits_ ? __builtin_ldexpf(1.5f, 15 - exponent) : 0;
    const float multiplier = mantissa * 32768;
    multiplier_ = _mm512_set1_epi16(static_cast<int16_t>(multiplier < 32767 ? multiplier : 32767));
    differences_ = _mm512_load_si512(kDifferences.bytes);
  }

  /** False: scores with this factor do not fit into fixed point. */
  bool fits() const { return fits_; }
  /** What the sums of scores begin with. */
  float start() const { return start_; }

  __m512i operator()(const float* low, const float* high) const {
    const __m512i upper = _mm512_bslli_epi128(_mm512_load_si512(high), 2);
    __m512i x = _mm512_mask_blend_epi16(kUpperHalves, _mm512_load_si512(low), upper);
    x = _mm512_mulhrs_epi16(x, multiplier_);  // in units of 2^-8
    // An exponent of 127, and differences, which are all negative: 0x7f00 - 256 + what the table has.
    const __m512i added = _mm512_mask_permutexvar_epi8(_mm512_set1_epi8(0x7e), kLowBytes,
                                                       _mm512_srli_epi16(x, 2), differences_);
    return _mm512_srli_epi16(_mm512_add_epi16(x, added), 1);
  }

 private:
  static constexpr int kMostExponent = 64;
  static constexpr __mmask64 kLowBytes = 0x5555555555555555;

  bool fits_;
  float start_;
  __m512i multiplier_;
  __m512i differences_;
};

}  // namespace
}  // namespace padless::avx512
