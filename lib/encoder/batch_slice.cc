#include "lib/encoder/batch_slice.h"

#include <algorithm>

namespace padless {

std::vector<int64_t> cut_sequences(std::span<const int32_t> cu_seqlens, int64_t most_tokens) {
  const int64_t sequences = cu_seqlens.empty() ? 0 : static_cast<int64_t>(cu_seqlens.size()) - 1;
  const int64_t tokens = cu_seqlens.empty() ? 0 : cu_seqlens.back();
  std::vector<int64_t> cuts = {0};
  if (most_tokens > 0) {
    const int64_t runs = (tokens + most_tokens - 1) / most_tokens;
    for (int64_t run = 1; run < runs; ++run) {
      const auto past = std::ranges::lower_bound(cu_seqlens, tokens * run / runs);
      const int64_t cut = past - cu_seqlens.begin();
      if (cut > cuts.back() && cut < sequences) cuts.push_back(cut);
    }
  }
  cuts.push_back(sequences);
  return cuts;
}

BatchSlice::BatchSlice(const PackedBatch& batch, int64_t begin, int64_t end)
    : first_token_(batch.cu_seqlens[begin]),
      cu_seqlens_(batch.cu_seqlens.begin() + begin, batch.cu_seqlens.begin() + end + 1) {
  for (int32_t& offset : cu_seqlens_) offset -= static_cast<int32_t>(first_token_);
  const auto tokens = [&](std::span<const int32_t> all) {
    return all.empty() ? all : all.subspan(first_token_, cu_seqlens_.back());
  };
  batch_ = {tokens(batch.ids), tokens(batch.positions), tokens(batch.token_types), cu_seqlens_,
            batch.key_counts.empty() ? batch.key_counts : batch.key_counts.subspan(begin, end - begin)};
}

}  // namespace padless
