// One launch of the disentangled attention kernel: from the run-time head dim to the template.
#pragma once

#include "cuda/attention/disentangled_kernel.cuh"
#include "cuda/attention/kernel_table.h"
#include "cuda/checks.h"

namespace padless::cuda {

template <class T, int kHeadDim>
Status enqueue_disentangled_head_dim(const DisentangledParams<T>& params, unsigned blocks,
                                     LaunchStream stream) {
  using Shape = DisentangledShape<kHeadDim, disentangled_queries(kHeadDim), disentangled_keys(kHeadDim)>;
  using Storage = DisentangledStorage<T, Shape>;
  static_assert(sizeof(Storage) <= kLeastSharedBytes);
  return launch(disentangled_kernel<T, Shape>,
                {.grid = blocks, .block = Shape::kThreads, .shared_bytes = sizeof(Storage), .stream = stream},
                params);
}

template <class T>
Status enqueue_disentangled(const DisentangledParams<T>& params, int64_t head_dim, unsigned blocks,
                            LaunchStream stream) {
  switch (head_dim) {
    case 32:
      return enqueue_disentangled_head_dim<T, 32>(params, blocks, stream);
    case 64:
      return enqueue_disentangled_head_dim<T, 64>(params, blocks, stream);
    case 96:
      return enqueue_disentangled_head_dim<T, 96>(params, blocks, stream);
    case 128:
      return enqueue_disentangled_head_dim<T, 128>(params, blocks, stream);
    case 256:
      return enqueue_disentangled_head_dim<T, 256>(params, blocks, stream);
    default:
      return {Code::kUnsupported, concat("head dim ", head_dim, "; supported: 32, 64, 96, 128, 256"),
              "head_dim"};
  }
}

extern template Status enqueue_disentangled<bf16>(const DisentangledParams<bf16>&, int64_t, unsigned,
                                                  LaunchStream);
extern template Status enqueue_disentangled<fp16>(const DisentangledParams<fp16>&, int64_t, unsigned,
                                                  LaunchStream);

}  // namespace padless::cuda
