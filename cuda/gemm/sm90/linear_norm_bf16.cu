#include "cuda/gemm/sm90/norm_launch.cuh"

namespace padless::cuda {

template Status enqueue_linear_norm<bf16>(const LinearNormArgs&, const LinearNormPlan&, LaunchStream);

}  // namespace padless::cuda
