// Softmax of a warpgroup's 64 queries over accumulators of wgmma, in base 2. Lane l of a warp holds the
// warp's rows l / 4 and l / 4 + 8: element 4 * j + 2 * r + c is of row half r and column 8 * j + 2 * (l % 4)
// + c.
//
// -inf is the mask; a row without any key gives zeros and an lse of -inf.
#pragma once

#include "cuda/attention/params.cuh"
#include "cuda/attention/sm90/exp2.cuh"

namespace padless::cuda::sm90 {

// Calls change(score, query, key) for each score of a lane.
template <int kCount, class Change>
DEVICE void for_each_score(float (&score)[kCount], int query, int key, int lane, Change change) {
  UNROLL
  for (int i = 0; i < kCount; i++) {
    change(score[i], query + i / 2 % 2 * 8, key + lane % 4 * 2 + i / 4 * 8 + i % 2);
  }
}

// Biases and masks scores, where there is anything to bias or mask. Returns what they are still to be
// multiplied by. `query` is that of the lane's first row, `key` the tile's first. One pass a rule: ptxas
// spills when branches stand between the scores.
template <int kCount>
DEVICE float apply_rule(float (&score)[kCount], const ScoreRule& rule, float scale_log2, int query, int key,
                        int lane) {
  float factor = scale_log2;
  if (rule.biased() || scale_log2 < 0.0f) {  // otherwise the largest score stays the largest when scaled
    factor = 1.0f;
    UNROLL
    for (float& each : score) each *= scale_log2;
  }
  if (rule.slope != 0.0f) {
    for_each_score(score, query, key, lane, [&](float& each, int i, int j) { each -= rule.alibi(i, j); });
  }
  if (rule.relative != nullptr) {
    for_each_score(score, query, key, lane,
                   [&](float& each, int i, int j) { each += rule.relative_bias(i, j); });
  }
  const int warp_query = query - lane / 4;
  if (!rule.all_seen(warp_query, warp_query + 15, key, key + 2 * kCount - 1)) {
    for_each_score(score, query, key, lane,
                   [&](float& each, int i, int j) { each = rule.seen(i, j) ? each : -INFINITY; });
  }
  return factor;
}

// Maximum and sum of two rows over the tiles so far; the sum is of this lane's columns.
struct RunningSoftmax {
  float maximum[2] = {-INFINITY, -INFINITY}, sum[2] = {0.0f, 0.0f};

  // Scores, times `factor`, become probabilities. What was summed with the earlier maximum is worth `rescale`
  // of itself now.
  template <int kCount>
  DEVICE void add(float (&score)[kCount], float factor, float (&rescale)[2]) {
    UNROLL
    for (int r = 0; r < 2; r++) {
      float largest = -INFINITY;
      UNROLL
      for (int i = 2 * r; i < kCount; i += 4) largest = fmaxf(largest, fmaxf(score[i], score[i + 1]));
      largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
      largest = fmaxf(maximum[r], largest * factor);
      const float base = largest == -INFINITY ? 0.0f : largest;  // -inf - -inf is NaN
      rescale[r] = ptx::ex2_approx(maximum[r] - base);
      maximum[r] = largest;
      float added = 0.0f;
      UNROLL
      for (int i = 2 * r; i < kCount; i += 4) {
        score[i] = exp2_shared(fmaf(score[i], factor, -base), i / 4);
        score[i + 1] = exp2_shared(fmaf(score[i + 1], factor, -base), i / 4);
        added += score[i] + score[i + 1];
      }
      sum[r] = sum[r] * rescale[r] + added;
    }
  }
};

// The accumulators of 16 columns are an A fragment already.
template <class T, int kSteps>
DEVICE void pack_probabilities(uint32_t (&probability)[kSteps][4], const float (&score)[8 * kSteps]) {
  UNROLL
  for (int step = 0; step < kSteps; step++) {
    UNROLL
    for (int i = 0; i < 4; i++) {
      probability[step][i] = ptx::cvt_rn_x2<T>(score[8 * step + 2 * i], score[8 * step + 2 * i + 1]);
    }
  }
}

template <int kCount>
DEVICE void scale_rows(float (&out)[kCount], const float (&factor)[2]) {
  UNROLL
  for (int i = 0; i < kCount; i++) out[i] *= factor[i / 2 % 2];
}

}  // namespace padless::cuda::sm90
