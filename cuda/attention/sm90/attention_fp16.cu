// The attention kernels of compute capability 9.0 for fp16 storage.
#include "cuda/attention/sm90/enqueue.cuh"

namespace padless::cuda::sm90 {

template Status enqueue_attention<fp16>(const AttentionMaps&, const AttentionParams<fp16>&, int64_t, int,
                                        unsigned, LaunchStream);

}  // namespace padless::cuda::sm90
