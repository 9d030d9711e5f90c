// The disentangled attention kernels for fp16 storage.
#include "cuda/attention/enqueue_disentangled.cuh"

namespace padless::cuda {

template Status enqueue_disentangled<fp16>(const DisentangledParams<fp16>&, int64_t, unsigned, LaunchStream);

}  // namespace padless::cuda
