// From run-time head dim and bucket to the template.
#pragma once

#include "cuda/attention/kernel_table.h"
#include "cuda/attention/sm90/kernel_table.h"
#include "cuda/attention/sm90/launch.h"
#include "cuda/attention/sm90/long_kernel.cuh"
#include "cuda/attention/sm90/short_kernel.cuh"

namespace padless::cuda::sm90 {

constexpr size_t kSharedBytes = 227 * 1024;  // that a block may have

constexpr int long_stages(int head_dim) { return head_dim <= 64 ? 4 : 3; }

template <class T, int kHeadDim, int kMaxKeys>
Status enqueue_short(const AttentionMaps& maps, const AttentionParams<T>& params, unsigned blocks,
                     LaunchStream stream) {
  constexpr int kBlocks = blocks_per_sm(kMaxKeys, kHeadDim);
  using Shape = ShortShape<kHeadDim, kMaxKeys, query_rows(kMaxKeys), kBlocks>;
  using Storage = ShortStorage<T, Shape>;
  constexpr size_t kReserved = 1024;  // of each block by the system
  static_assert(kBlocks * (sizeof(Storage) + kReserved) <= kSharedBytes + kReserved);
  return launch(short_attention_kernel<T, Shape>,
                {.grid = blocks, .block = Shape::kThreads, .shared_bytes = sizeof(Storage), .stream = stream},
                maps, params);
}

template <class T, int kHeadDim>
Status enqueue_long(const AttentionMaps& maps, const AttentionParams<T>& params, unsigned blocks,
                    LaunchStream stream) {
  using Shape = LongShape<kHeadDim, long_stages(kHeadDim)>;
  using Storage = LongStorage<T, Shape>;
  static_assert(sizeof(Storage) <= kSharedBytes);
  return launch(long_attention_kernel<T, Shape>,
                {.grid = blocks, .block = Shape::kThreads, .shared_bytes = sizeof(Storage), .stream = stream},
                maps, params);
}

template <class T, int kHeadDim>
Status enqueue_head_dim(const AttentionMaps& maps, const AttentionParams<T>& params, int max_keys,
                        unsigned blocks, LaunchStream stream) {
  if (max_keys == kAnyKeys) return enqueue_long<T, kHeadDim>(maps, params, blocks, stream);
  if (max_keys == 64) return enqueue_short<T, kHeadDim, 64>(maps, params, blocks, stream);
  if (max_keys == 128) return enqueue_short<T, kHeadDim, 128>(maps, params, blocks, stream);
  if constexpr (has_short_kernel(256, kHeadDim)) {
    if (max_keys == 256) return enqueue_short<T, kHeadDim, 256>(maps, params, blocks, stream);
  }
  return {Code::kInvalidArgument,
          concat("no attention kernel for ", max_keys, " keys and head dim ", kHeadDim), "plan"};
}

template <class T>
Status enqueue_attention(const AttentionMaps& maps, const AttentionParams<T>& params, int64_t head_dim,
                         int max_keys, unsigned blocks, LaunchStream stream) {
  switch (head_dim) {
    case 32:
      return enqueue_head_dim<T, 32>(maps, params, max_keys, blocks, stream);
    case 64:
      return enqueue_head_dim<T, 64>(maps, params, max_keys, blocks, stream);
    case 96:
      return enqueue_head_dim<T, 96>(maps, params, max_keys, blocks, stream);
    case 128:
      return enqueue_head_dim<T, 128>(maps, params, max_keys, blocks, stream);
    default:
      return {Code::kUnsupported, concat("head dim ", head_dim, "; supported: 32, 64, 96, 128"), "head_dim"};
  }
}

}  // namespace padless::cuda::sm90
