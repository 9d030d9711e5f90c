// The attention kernels for fp16 storage.
#include "cuda/attention/enqueue.cuh"

namespace padless::cuda {

template Status enqueue_attention<fp16>(const AttentionParams<fp16>&, int64_t, int, unsigned, LaunchStream);

}  // namespace padless::cuda
