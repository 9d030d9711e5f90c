// The disentangled attention kernels for bf16 storage.
#include "cuda/attention/enqueue_disentangled.cuh"

namespace padless::cuda {

template Status enqueue_disentangled<bf16>(const DisentangledParams<bf16>&, int64_t, unsigned, LaunchStream);

}  // namespace padless::cuda
