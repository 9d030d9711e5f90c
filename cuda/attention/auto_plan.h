// What `auto` means on a device: the plan that experiment E4 found to be the fastest there, or a guess.
#pragma once

#include <array>
#include <span>

#include "cuda/padless_cuda.h"

namespace padless::cuda {

/** Launches of attention: those of every batch of the device, so that bits depend on no batch. */
struct AutoPlan {
  AttentionStrategy strategy;
  std::array<int64_t, 3> edges;  // of `grouped`, ascending; 0: none
  int streams;                   // at most
};

/** A device, and what was the fastest on it. */
struct MeasuredPlan {
  int compute_capability, sm_count;
  AutoPlan plan;
};

/** Where nothing was measured. The portable kernel for 256 keys takes all registers of an SM for one block,
 * and up to half of its keys are none: it runs only where a bucket of `grouped` asks for it. */
inline constexpr AutoPlan kPortableGuess = {AttentionStrategy::kGrouped, {64, 128}, 4};
inline constexpr AutoPlan kSm90Guess = {AttentionStrategy::kGrouped, {64, 128, 256}, 4};

/** The row of the device's compute capability with the nearest number of SMs. What was measured with the sm90
 * kernels says nothing of the portable ones, which take other head dims there. */
AutoPlan auto_plan(const DeviceProperties& device, bool sm90, std::span<const MeasuredPlan> measured);

}  // namespace padless::cuda
