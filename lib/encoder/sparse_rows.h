// Sparse vectors over a vocabulary, one a sequence: SPLADE's weights of terms.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace padless {

/** How maxima of logits become weights. */
struct SparseOptions {
  int64_t top_k = 0;  // keep the largest ones of each sequence; 0: all that are above 0
  int logs = 1;       // how often log(1 + x) is taken: twice by OpenSearch's models (arXiv:2411.04403)
};

struct SparseRows {
  std::vector<int32_t> offsets = {0};  // [B + 1], into the other two
  std::vector<int32_t> indices;        // rising within a row
  std::vector<float> values;           // above 0, or NaN where a logit was

  /**
   * log(1 + max(x, 0)) of each column (SPLADE, arXiv:2109.10086, equation 6; it rises with x, so the maximum
   * over tokens may be taken first), without zeros. Of equal values the lower index counts as larger.
   */
  void append(std::span<const float> maxima, const SparseOptions& options);
};

}  // namespace padless
