// griddepcontrol (sm_90): overlap of a kernel with the next one of its stream (LaunchStream::overlaps).
//
// The next kernel may start once every block here has launched dependents or exited; it must wait before it
// touches what this kernel writes. Below sm_90 launches do not overlap and both are nothing.
#pragma once

#include "cuda/platform.cuh"

namespace padless::cuda::ptx {

// griddepcontrol.wait: until the kernels that this one depends on have completed and their writes are
// visible.
DEVICE void griddepcontrol_wait(CALL_SITE_ONLY) {
#if PADLESS_EMULATED
  emulator::wait_for_previous_grid(call_site);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// griddepcontrol.launch_dependents
DEVICE void griddepcontrol_launch_dependents() {
#if PADLESS_EMULATED
  emulator::launch_dependents();
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace padless::cuda::ptx
