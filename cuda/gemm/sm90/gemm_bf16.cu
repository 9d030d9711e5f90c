#include "cuda/gemm/sm90/launch.cuh"

namespace padless::cuda {

template Status enqueue_persistent<bf16, bf16>(const LinearArgs&, const GemmPlan&, LaunchStream);
template Status enqueue_swapped<bf16, bf16>(const LinearArgs&, const GemmPlan&, float*, LaunchStream);

}  // namespace padless::cuda
