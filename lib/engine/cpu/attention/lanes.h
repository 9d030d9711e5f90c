// What the parts of the attention kernel share: how scores lie in lanes, and small arithmetic.
#pragma once

#include <cstdint>

#include "lib/engine/cpu/simd/vec.h"

namespace padless::PADLESS_ISA {
namespace {

using simd::broadcast;
using simd::fma;
using simd::load;
using simd::max;
using simd::store;
using simd::Vec;
using simd::where_less;
using simd::zero;

constexpr int kLanes = Vec::kLanes;
/** Registers of queries that a block may have. */
constexpr int kMostVectors = 3;
/** Keys of one softmax block. The scores of a block, its K and its V share the second-level cache. */
constexpr int64_t kKeyBlock = 512;
constexpr float kLog2E = 1.44269504f;
constexpr float kLn2 = 0.693147181f;
constexpr float kLargestFloat = 3.40282347e38f;

constexpr float kLaneNumbers[48] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                    32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47};
static_assert(kMostVectors * kLanes <= 48);

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
/** A multiple of a cache line. */
constexpr int64_t padded(int64_t floats) { return (floats + 15) / 16 * 16; }

}  // namespace
}  // namespace padless::PADLESS_ISA
