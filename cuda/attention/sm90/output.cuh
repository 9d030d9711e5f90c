// From accumulators to packed rows of the output, without a stop in shared memory.
#pragma once

#include "cuda/attention/params.cuh"
#include "cuda/attention/sm90/softmax.cuh"
#include "cuda/ptx/math.cuh"
#include "cuda/tile/vector.cuh"

namespace padless::cuda::sm90 {

// Lane t of four holds word t of four chunks; afterwards all words of chunk t.
DEVICE void transpose_quad(uint32_t (&word)[4], int lane) {
  UNROLL
  for (int bit = 1; bit <= 2; bit *= 2) {
    const bool upper = (lane & bit) != 0;
    UNROLL
    for (int i = 0; i < 4; i++) {
      if (i & bit) continue;
      const uint32_t received = __shfl_xor_sync(~0u, upper ? word[i] : word[i | bit], bit);
      word[i] = upper ? received : word[i];
      word[i | bit] = upper ? word[i | bit] : received;
    }
  }
}

// Rows `query` and query + 8 of an item: out / sum in 16-byte chunks, and the lse. Rows past the sequence
// belong to the next one and are left alone.
template <class T, int kHeadDim>
DEVICE void store_rows(const AttentionParams<T>& p, const AttentionItem& item,
                       const float (&out)[kHeadDim / 2], const RunningSoftmax& softmax, int query, int lane) {
  UNROLL
  for (int r = 0; r < 2; r++) {
    const int row = query + r * 8;
    float sum = softmax.sum[r];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    const float inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
    if (p.lse != nullptr && lane % 4 == 0 && row < item.length) {
      const float lse = sum == 0.0f ? -INFINITY : kLn2 * (softmax.maximum[r] + log2f(sum));
      p.lse[item.head * p.lse_stride + item.begin + row] = lse;
    }
    T* destination = p.out + (item.begin + row) * p.out_stride + item.head * kHeadDim + lane % 4 * 8;
    UNROLL
    for (int column = 0; column < kHeadDim; column += 32) {
      uint32_t word[4];
      UNROLL
      for (int i = 0; i < 4; i++) {
        const int element = (column + 8 * i) / 2 + 2 * r;
        word[i] = ptx::cvt_rn_x2<T>(out[element] * inverse, out[element + 1] * inverse);
      }
      transpose_quad(word, lane);
      const RawVector<T> chunk{{make_uint4(word[0], word[1], word[2], word[3])}};
      if (row < item.length && p.aligned_out) store_aligned(destination + column, chunk);
      if (row < item.length && !p.aligned_out) {
        float values[kVectorElements];
        unpack(values, chunk);
        store_elements(destination + column, values, kVectorElements);
      }
    }
  }
}

}  // namespace padless::cuda::sm90
