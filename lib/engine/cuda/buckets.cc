#include "lib/engine/cuda/buckets.h"

#include <algorithm>
#include <bit>
#include <iterator>

namespace padless::cuda {
namespace {

// Two edges an octave: at most a third of a launch's blocks find nothing to do, and they leave after one
// load. Below 64 every tile of 16 rows that a product can do without is one edge.
//
// A forward is bound by its launches while the host takes longer to enqueue a kernel (3 to 5 us) than the
// device to run it. Of BERT-base's some 8 kernels a layer, 1,000 tokens take an H100 about as long as that,
// of MiniLM's 3,000 (2 T H^2 FLOP and its multiples at half the rate of its tensor cores). Past the last edge
// memory for fixed activations is spent on nothing. To be measured.
constexpr int64_t kTokenEdges[] = {16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048};
constexpr int64_t kMostSequences = 2048;

}  // namespace

BatchCapacity bucket_of(const PackedBatch& batch, bool recordable) {
  const auto edge = std::ranges::lower_bound(kTokenEdges, batch.tokens());
  if (edge == std::end(kTokenEdges) || batch.tokens() == 0 || batch.sequences() > kMostSequences) return {};
  const auto sequences = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(batch.sequences())));
  return {*edge, sequences, recordable};
}

}  // namespace padless::cuda
