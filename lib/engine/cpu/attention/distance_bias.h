// ALiBi slopes and relative tables: what they add to a score, by the distance of query and key.
#pragma once

#include "lib/engine/cpu/attention/kernel.h"
#include "lib/engine/cpu/attention/lanes.h"

namespace padless::PADLESS_ISA {
namespace {

/** In log2 units, for query head `member` of the group; distance = query - key. */
inline float distance_bias(const AttentionHeadBias& bias, int64_t member, int64_t distance) {
  if (bias.relative) {
    const int64_t clamped = least(most(distance, -bias.reach), bias.reach);
    return kLog2E * bias.relative[member * bias.relative_stride + bias.reach - clamped];
  }
  return -kLog2E * bias.alibi_slopes[member] * static_cast<float>(distance < 0 ? -distance : distance);
}

}  // namespace
}  // namespace padless::PADLESS_ISA
