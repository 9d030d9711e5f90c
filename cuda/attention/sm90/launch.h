// The attention kernels of this folder as the rest of cuda/attention sees them.
#pragma once

#include "cuda/attention/params.cuh"
#include "cuda/attention/sm90/maps.h"

namespace padless::cuda::sm90 {

/** One launch of `blocks` blocks, which share the items among them. */
template <class T>
Status enqueue_attention(const AttentionMaps& maps, const AttentionParams<T>& params, int64_t head_dim,
                         int max_keys, unsigned blocks, LaunchStream stream);

extern template Status enqueue_attention<bf16>(const AttentionMaps&, const AttentionParams<bf16>&, int64_t,
                                               int, unsigned, LaunchStream);
extern template Status enqueue_attention<fp16>(const AttentionMaps&, const AttentionParams<fp16>&, int64_t,
                                               int, unsigned, LaunchStream);

}  // namespace padless::cuda::sm90
