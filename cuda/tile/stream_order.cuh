// Where a kernel takes its place in its stream's order, if it was launched to overlap with the one ahead.
//
// Such a kernel starts while its predecessor still runs. Every block calls wait_for_stream(), whatever it
// then finds to do: before it reads what other kernels write, before it writes what they may read, and before
// it returns, because that a kernel has ended says of earlier ones only what it has waited for. What may come
// first: barriers, tensor maps, weights, and counts of rows where linear()'s caller promises them.
//
// The next kernel is let go behind the wait, not ahead of it: at most two of them hold the SMs.
#pragma once

#include "cuda/ptx/griddepcontrol.cuh"

namespace padless::cuda {

DEVICE void wait_for_stream(CALL_SITE_ONLY) {
  ptx::griddepcontrol_wait(FORWARD_CALL_SITE_ONLY);
  ptx::griddepcontrol_launch_dependents();
}

}  // namespace padless::cuda
