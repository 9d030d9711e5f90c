// One launch of one attention kernel: from run-time head dim and bucket to the template.
#pragma once

#include "cuda/attention/attention_kernel.cuh"
#include "cuda/attention/kernel_table.h"
#include "cuda/checks.h"

namespace padless::cuda {

template <class T, class Shape>
Status enqueue_shape(const AttentionParams<T>& params, unsigned blocks, LaunchStream stream) {
  static_assert(sizeof(AttentionStorage<T, Shape>) <= kLeastSharedBytes);
  return launch(attention_kernel<T, Shape>,
                {.grid = blocks,
                 .block = Shape::kThreads,
                 .shared_bytes = sizeof(AttentionStorage<T, Shape>),
                 .stream = stream},
                params);
}

template <class T, int kHeadDim, int kMaxKeys>
Status enqueue_short(const AttentionParams<T>& params, unsigned blocks, LaunchStream stream) {
  using Shape = AttentionTileShape<kHeadDim, query_rows(kMaxKeys) / 16, kMaxKeys, 1>;
  return enqueue_shape<T, Shape>(params, blocks, stream);
}

template <class T, int kHeadDim>
Status enqueue_head_dim(const AttentionParams<T>& params, int max_keys, unsigned blocks,
                        LaunchStream stream) {
  if (max_keys == kAnyKeys) {
    using Shape = AttentionTileShape<kHeadDim, query_rows(kAnyKeys) / 16, flash_keys(kHeadDim), 2>;
    return enqueue_shape<T, Shape>(params, blocks, stream);
  }
  if constexpr (has_short_kernel(64, kHeadDim)) {
    if (max_keys == 64) return enqueue_short<T, kHeadDim, 64>(params, blocks, stream);
  }
  if constexpr (has_short_kernel(128, kHeadDim)) {
    if (max_keys == 128) return enqueue_short<T, kHeadDim, 128>(params, blocks, stream);
  }
  if constexpr (has_short_kernel(256, kHeadDim)) {
    if (max_keys == 256) return enqueue_short<T, kHeadDim, 256>(params, blocks, stream);
  }
  return {Code::kInvalidArgument,
          concat("no attention kernel for ", max_keys, " keys and head dim ", kHeadDim), "plan"};
}

template <class T>
Status enqueue_attention(const AttentionParams<T>& params, int64_t head_dim, int max_keys, unsigned blocks,
                         LaunchStream stream) {
  switch (head_dim) {
    case 32:
      return enqueue_head_dim<T, 32>(params, max_keys, blocks, stream);
    case 64:
      return enqueue_head_dim<T, 64>(params, max_keys, blocks, stream);
    case 96:
      return enqueue_head_dim<T, 96>(params, max_keys, blocks, stream);
    case 128:
      return enqueue_head_dim<T, 128>(params, max_keys, blocks, stream);
    case 256:
      return enqueue_head_dim<T, 256>(params, max_keys, blocks, stream);
    default:
      return {Code::kUnsupported, concat("head dim ", head_dim, "; supported: 32, 64, 96, 128, 256"),
              "head_dim"};
  }
}

extern template Status enqueue_attention<bf16>(const AttentionParams<bf16>&, int64_t, int, unsigned,
                                               LaunchStream);
extern template Status enqueue_attention<fp16>(const AttentionParams<fp16>&, int64_t, int, unsigned,
                                               LaunchStream);

}  // namespace padless::cuda
