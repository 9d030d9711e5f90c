// The passes over memory that fused kernels save: what the lower rungs of the ladder are made of.
#pragma once

#include "cuda/padless_cuda.h"

namespace padless::cuda::bench {

/** data = activation(data + bias), bf16, rows of a multiple of eight columns without gaps. */
Status add_bias(const Matrix& data, const float* bias, Activation activation, cudaStream_t stream);
/** data += other, bf16, without gaps. */
Status add_matrix(const Matrix& data, const Matrix& other, cudaStream_t stream);
/** Rows of bf16 scores to probabilities, in place: softmax(scale * row) over the first `keys` columns, zeros
 * beyond. */
Status softmax_rows(const Matrix& scores, int64_t keys, float scale, cudaStream_t stream);

}  // namespace padless::cuda::bench
