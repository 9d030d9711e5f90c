// One warp's 16 queries: scores against a tile of keys, online softmax, and the sum over values, all in
// registers. Lane l holds rows l / 4 and l / 4 + 8.
//
// -inf is the mask; a row without any key gives zeros and an lse of -inf.
#pragma once

#include "cuda/attention/params.cuh"
#include "cuda/ptx/math.cuh"
#include "cuda/ptx/mma.cuh"
#include "cuda/tile/shared_tile.cuh"
#include "cuda/tile/vector.cuh"

namespace padless::cuda {

// Steps along the head that are unrolled. Where scores and output take more than 96 registers, none are left
// for the fragments of many steps: ptxas would spill.
template <int kScoreTiles, int kHeadDim>
constexpr int kHeadStepUnroll = 4 * kScoreTiles + kHeadDim / 2 > 96 ? 1 : kHeadDim / 16;

template <int kHeadDim>
struct WarpOutput {
  static constexpr int kTiles = kHeadDim / 8;
  float values[kTiles][4];
  float row_max[2], row_sum[2];  // the sum is of this lane's columns

  DEVICE void clear() {
    UNROLL
    for (int n = 0; n < kTiles; n++) {
      UNROLL
      for (int i = 0; i < 4; i++) values[n][i] = 0.0f;
    }
    row_max[0] = row_max[1] = -INFINITY;
    row_sum[0] = row_sum[1] = 0.0f;
  }
};

// product = a[a_row .. + 16] b[b_row .. + 8 * kTiles]^T over the columns of the tiles.
template <class T, int kTiles, class TileA, class TileB>
DEVICE void multiply_rows(float (&product)[kTiles][4], TileA& a_tile, int a_row, TileB& b_tile, int b_row,
                          int lane) {
  [[maybe_unused]] constexpr int kUnroll = kHeadStepUnroll<kTiles, TileA::kCols>;
  UNROLL
  for (int n = 0; n < kTiles; n++) {
    UNROLL
    for (int i = 0; i < 4; i++) product[n][i] = 0.0f;
  }
#pragma unroll kUnroll
  for (int d = 0; d < TileA::kCols / 16; d++) {
    REGS(uint32_t, a, [4]);
    load_fragment_a(a, a_tile, a_row, d * 2, lane);
    UNROLL
    for (int n = 0; n < kTiles; n += 2) {
      uint32_t low[2], high[2];
      load_fragments_b(low, high, b_tile, b_row + n * 8, d * 2, lane);
      ptx::mma_m16n8k16<T>(product[n], a, low, product[n]);
      ptx::mma_m16n8k16<T>(product[n + 1], a, high, product[n + 1]);
    }
  }
}

// Scores to base 2, biased and masked. `query` is that of the lane's first row, `key` the tile's first.
template <int kTiles>
DEVICE void apply_rule(float (&score)[kTiles][4], const ScoreRule& rule, float scale_log2, int query, int key,
                       int lane) {
  const int warp_query = query - lane / 4;
  const bool plain = !rule.biased() && rule.all_seen(warp_query, warp_query + 15, key, key + 8 * kTiles - 1);
  UNROLL
  for (int n = 0; n < kTiles; n++) {
    UNROLL
    for (int i = 0; i < 4; i++) {
      score[n][i] *= scale_log2;
      if (!plain)
        score[n][i] = rule.apply(score[n][i], query + i / 2 * 8, key + n * 8 + lane % 4 * 2 + i % 2);
    }
  }
}

// Scores become probabilities; what the output holds is rescaled to the new maximum.
template <int kTiles, int kHeadDim>
DEVICE void online_softmax(float (&score)[kTiles][4], WarpOutput<kHeadDim>& out) {
  UNROLL
  for (int r = 0; r < 2; r++) {
    float maximum = out.row_max[r];
    UNROLL
    for (int n = 0; n < kTiles; n++) maximum = fmaxf(maximum, fmaxf(score[n][2 * r], score[n][2 * r + 1]));
    maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, 1));
    maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, 2));
    const float base = maximum == -INFINITY ? 0.0f : maximum;  // -inf - -inf is NaN
    const float rescale = ptx::ex2_approx(out.row_max[r] - base);
    out.row_max[r] = maximum;
    float sum = 0.0f;
    UNROLL
    for (int n = 0; n < kTiles; n++) {
      UNROLL
      for (int i = 2 * r; i < 2 * r + 2; i++) {
        score[n][i] = ptx::ex2_approx(score[n][i] - base);
        sum += score[n][i];
      }
    }
    out.row_sum[r] = out.row_sum[r] * rescale + sum;
    UNROLL
    for (int n = 0; n < WarpOutput<kHeadDim>::kTiles; n++) {
      out.values[n][2 * r] *= rescale;
      out.values[n][2 * r + 1] *= rescale;
    }
  }
}

// out += probabilities x values; the accumulators of 16 keys are an A fragment already.
template <class T, int kTiles, int kHeadDim, class Tile>
DEVICE void add_values(WarpOutput<kHeadDim>& out, const float (&score)[kTiles][4], Tile& values, int lane) {
  UNROLL
  for (int n = 0; n < kTiles; n += 2) {
    const uint32_t a[4] = {ptx::cvt_rn_x2<T>(score[n][0], score[n][1]),
                           ptx::cvt_rn_x2<T>(score[n][2], score[n][3]),
                           ptx::cvt_rn_x2<T>(score[n + 1][0], score[n + 1][1]),
                           ptx::cvt_rn_x2<T>(score[n + 1][2], score[n + 1][3])};
    UNROLL
    for (int d = 0; d < WarpOutput<kHeadDim>::kTiles; d += 2) {
      uint32_t low[2], high[2];
      load_fragments_b_transposed(low, high, values, n * 8, d, lane);
      ptx::mma_m16n8k16<T>(out.values[d], a, low, out.values[d]);
      ptx::mma_m16n8k16<T>(out.values[d + 1], a, high, out.values[d + 1]);
    }
  }
}

// The output takes the place of this warp's queries in `tile`, and leaves in 16-byte chunks of whole rows.
template <class T, int kHeadDim, class Tile>
DEVICE void store_output(const AttentionParams<T>& p, const AttentionItem& item,
                         const WarpOutput<kHeadDim>& out, Tile& tile, int warp_row, int lane) {
  constexpr int kTiles = WarpOutput<kHeadDim>::kTiles;
  const int query = item.first_query + warp_row + lane / 4;
  __syncwarp();
  UNROLL
  for (int r = 0; r < 2; r++) {
    float sum = out.row_sum[r];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    const float inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
    UNROLL
    for (int n = 0; n < kTiles; n++) {
      T* chunk = tile.chunk(warp_row + lane / 4 + r * 8, n) + lane % 4 * 2;
      *reinterpret_cast<uint32_t*>(chunk) =
          ptx::cvt_rn_x2<T>(out.values[n][2 * r] * inverse, out.values[n][2 * r + 1] * inverse);
    }
    if (p.lse != nullptr && lane % 4 == 0 && query + r * 8 < item.length) {
      const float lse = sum == 0.0f ? -INFINITY : kLn2 * (out.row_max[r] + log2f(sum));
      p.lse[item.head * p.lse_stride + item.begin + query + r * 8] = lse;
    }
  }
  __syncwarp();
  for (int i = lane; i < 16 * kTiles; i += 32) {
    const int row = warp_row + i / kTiles, chunk = i % kTiles;
    if (item.first_query + row >= item.length) break;
    T* destination = p.out + (item.begin + item.first_query + row) * p.out_stride + item.head * kHeadDim +
                     chunk * kVectorElements;
    const RawVector<T> raw = load_aligned(tile.chunk(row, chunk));
    if (p.aligned_out) {
      store_aligned(destination, raw);
    } else {
      float values[kVectorElements];
      unpack(values, raw);
      store_elements(destination, values, kVectorElements);
    }
  }
}

}  // namespace padless::cuda
