// Launches of the sm_90a GEMMs. linear() has checked the arguments.
//
// Operands are `In`, the residual and the result (unless that is f32) T: bf16 and fp16 with themselves, e4m3
// with either.
#pragma once

#include "cuda/padless_cuda.h"

namespace padless::cuda {

/** `plan.tile` is an index into kPersistentTiles; on as many blocks as the plan says, 0 being one a tile. */
template <class In, class T>
Status enqueue_persistent(const LinearArgs& args, const GemmPlan& plan, LaunchStream stream);

/** `plan.tile` is an index into kSwappedTokens. With more than one split the sums of each go to `partial`. */
template <class In, class T>
Status enqueue_swapped(const LinearArgs& args, const GemmPlan& plan, float* partial, LaunchStream stream);

}  // namespace padless::cuda
