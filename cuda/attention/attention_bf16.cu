// The attention kernels for bf16 storage.
#include "cuda/attention/enqueue.cuh"

namespace padless::cuda {

template Status enqueue_attention<bf16>(const AttentionParams<bf16>&, int64_t, int, unsigned, LaunchStream);

}  // namespace padless::cuda
