#include "lib/encoder/sparse_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace padless {
namespace {

float weight(float logit, int logs) {
  for (int i = 0; i < logs; ++i) logit = std::log1p(logit);
  return logit;
}

/** For comparing: NaN counts as the largest, so that it is never pruned unseen. */
float rank(float logit) { return logit == logit ? logit : std::numeric_limits<float>::infinity(); }

}  // namespace

void SparseRows::append(std::span<const float> maxima, const SparseOptions& options) {
  std::vector<int32_t> kept;
  for (size_t i = 0; i < maxima.size(); ++i) {
    if (!(maxima[i] <= 0)) kept.push_back(static_cast<int32_t>(i));
  }
  const auto top = static_cast<size_t>(options.top_k);
  if (top > 0 && kept.size() > top) {
    const auto larger = [&](int32_t a, int32_t b) {
      const float x = rank(maxima[a]);
      const float y = rank(maxima[b]);
      return x > y || (x == y && a < b);
    };
    std::nth_element(kept.begin(), kept.begin() + static_cast<int64_t>(top), kept.end(), larger);
    kept.resize(top);
    std::sort(kept.begin(), kept.end());
  }
  for (int32_t index : kept) {
    indices.push_back(index);
    values.push_back(weight(maxima[index], options.logs));
  }
  offsets.push_back(static_cast<int32_t>(indices.size()));
}

}  // namespace padless
