#include "lib/encoder/sequence_max.h"

#include <algorithm>
#include <vector>

namespace padless {
namespace {

/** Puts the maxima of the parts of a sequence together. */
class Carry {
 public:
  explicit Carry(const TakeMaxima& take) : take_(take) {}

  /** The maxima of one part of `sequence`; `is_last` if no more will follow. */
  void add(int64_t sequence, std::span<const float> part, bool is_last) {
    if (partial_.empty() && is_last) return take_(sequence, part);
    if (partial_.empty()) {
      partial_.assign(part.begin(), part.end());
    } else {
      std::transform(part.begin(), part.end(), partial_.begin(), partial_.begin(),
                     [](float x, float best) { return best >= x || best != best ? best : x; });
    }
    if (!is_last) return;
    take_(sequence, partial_);
    partial_.clear();
  }

 private:
  const TakeMaxima& take_;
  std::vector<float> partial_;
};

/** Column maxima of `segments` of the block `in`, in host memory. */
Status segment_maxima(Engine& engine, Stream& stream, const Matrix& in, std::span<const int32_t> segments,
                      std::vector<float>& out) {
  const auto count = static_cast<int64_t>(segments.size()) - 1;
  const std::vector<int32_t> zeros(static_cast<size_t>(in.rows));
  const PackedBatch batch{zeros, zeros, {}, segments};
  auto prepared = engine.prepare(stream, batch, {.heads = 1, .kv_heads = 1, .head_dim = 64});
  if (!prepared.is_ok()) return prepared.status();
  auto maxima = allocate_matrix(engine, count, in.cols);
  if (!maxima.is_ok()) return maxima.status();
  const Matrix& result = maxima.value().matrix;
  PADLESS_RETURN_IF_ERROR(engine.pool(stream, *prepared.value(), {PoolMode::kMax, in, result, {}}));
  out.resize(static_cast<size_t>(count * in.cols));
  PADLESS_RETURN_IF_ERROR(engine.copy_to_host(stream, out.data(), result.data, out.size() * sizeof(float)));
  return engine.wait(stream);
}

}  // namespace

Status sequence_max(Engine& engine, Stream& stream, const SequenceMaxArgs& args, RowSource& source,
                    const TakeMaxima& take, const KeepGoing& keep_going) {
  const auto sequences = static_cast<int64_t>(args.cu_seqlens.size()) - 1;
  const int64_t total = source.total();
  const int64_t block = std::min(total, block_rows(args.width));
  auto owned = allocate_matrix(engine, block, args.width);
  if (!owned.is_ok()) return owned.status();
  Carry carry(take);
  std::vector<float> maxima;
  int64_t sequence = 0;  // the first one that has not ended
  for (int64_t first = 0; first < total; first += block) {
    PADLESS_RETURN_IF_ERROR(keep_going());
    const int64_t end = std::min(first + block, total);
    Result<Matrix> rows = source.read(first, end - first);
    if (!rows.is_ok()) return rows.status();
    const Matrix results = row_range(owned.value().matrix, 0, end - first);
    const Matrix matrices[] = {rows.value(), results};
    PADLESS_RETURN_IF_ERROR(engine.run_rows(stream, args.program, matrices, end - first));

    std::vector<int32_t> segments = {0};
    for (int64_t b = sequence; b < sequences && args.cu_seqlens[b] < end; ++b) {
      segments.push_back(static_cast<int32_t>(std::min<int64_t>(args.cu_seqlens[b + 1], end) - first));
    }
    PADLESS_RETURN_IF_ERROR(segment_maxima(engine, stream, results, segments, maxima));
    for (size_t s = 0; s + 1 < segments.size(); ++s) {
      const bool is_last = args.cu_seqlens[sequence + 1] <= end;
      carry.add(sequence, std::span(maxima).subspan(s * args.width, args.width), is_last);
      sequence += is_last;
    }
  }
  maxima.assign(static_cast<size_t>(args.width), 0.f);
  for (; sequence < sequences; ++sequence) take(sequence, maxima);
  return Status::ok();
}

}  // namespace padless
