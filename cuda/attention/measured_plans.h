// Written by scripts/attention-plans.mjs from the files in bench/results.
#pragma once

#include <initializer_list>

#include "cuda/attention/auto_plan.h"

namespace padless::cuda {

inline constexpr std::initializer_list<MeasuredPlan> kMeasuredPlans = {};

}  // namespace padless::cuda
