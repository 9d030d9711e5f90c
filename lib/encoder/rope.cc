#include "lib/encoder/rope.h"

#include <algorithm>
#include <cmath>

namespace padless {
namespace {

// 32 MiB at 64 columns; positions beyond are computed for each token.
constexpr int64_t kMostKeptRows = int64_t{1} << 17;

void compute_row(int64_t position, const std::vector<double>& frequencies, double factor, float* out) {
  const size_t pairs = frequencies.size();
  for (size_t i = 0; i < pairs; ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    out[i] = static_cast<float>(factor * std::cos(angle));
    out[pairs + i] = static_cast<float>(factor * std::sin(angle));
  }
}

/** Dynamic NTK scaling for a sequence of `length` tokens. */
std::vector<double> scaled_frequencies(const RopeSpec& spec, int64_t length) {
  const auto dim = static_cast<double>(spec.rotary_dim);
  const double stretch = spec.scale * static_cast<double>(length) / static_cast<double>(spec.length);
  const double theta = spec.theta * std::pow(stretch - (spec.scale - 1), dim / (dim - 2));
  std::vector<double> frequencies(static_cast<size_t>(spec.rotary_dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / dim);
  }
  return frequencies;
}

}  // namespace

RopeTable::Rows RopeTable::rows(int64_t positions, const std::vector<double>& frequencies, Rows& kept) {
  if (positions > kMostKeptRows) return nullptr;
  const std::lock_guard lock(mutex_);
  const size_t dim = static_cast<size_t>(spec_.rotary_dim);
  if (kept && kept->size() >= static_cast<size_t>(positions) * dim) return kept;
  constexpr int64_t kFirstRows = 512;
  const int64_t had = kept ? static_cast<int64_t>(kept->size() / dim) : 0;
  const int64_t count = std::min(kMostKeptRows, std::max({positions, 2 * had, kFirstRows}));
  auto grown = std::make_shared<std::vector<float>>(static_cast<size_t>(count) * dim);
  if (kept) std::copy(kept->begin(), kept->end(), grown->begin());
  for (int64_t position = had; position < count; ++position) {
    compute_row(position, frequencies, spec_.factor, grown->data() + static_cast<size_t>(position) * dim);
  }
  return kept = std::move(grown);
}

void RopeTable::fill(const PackedBatch& batch, float* out) {
  const int64_t dim = spec_.rotary_dim;
  for (int64_t b = 0; b < batch.sequences(); ++b) {
    const int64_t begin = batch.cu_seqlens[b];
    const int64_t end = batch.cu_seqlens[b + 1];
    if (begin == end) continue;
    const int64_t length =
        int64_t{*std::max_element(batch.positions.begin() + begin, batch.positions.begin() + end)} + 1;
    const bool is_long = spec_.length > 0 && length > spec_.length;
    const bool is_scaled = is_long && spec_.long_frequencies.empty();
    const std::vector<double> scaled = is_scaled ? scaled_frequencies(spec_, length) : std::vector<double>{};
    const std::vector<double>& frequencies = is_scaled ? scaled
                                             : is_long ? spec_.long_frequencies
                                                       : spec_.frequencies;
    const Rows kept = is_scaled ? nullptr : rows(length, frequencies, is_long ? long_ : regular_);
    for (int64_t t = begin; t < end; ++t) {
      const int64_t position = batch.positions[t];
      if (kept) {
        std::copy_n(kept->data() + position * dim, dim, out + t * dim);
      } else {
        compute_row(position, frequencies, spec_.factor, out + t * dim);
      }
    }
  }
}

}  // namespace padless
