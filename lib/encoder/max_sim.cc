#include "lib/encoder/max_sim.h"

#include <algorithm>
#include <numeric>

#include "lib/encoder/sequence_max.h"

namespace padless {

Status check(const TokenVectors& vectors, int64_t dim, const char* field) {
  const auto values = static_cast<int64_t>(vectors.data.size());
  PADLESS_CHECK(dim > 0 && values % dim == 0, Code::kInvalidArgument, field, field, " has ", values,
                " numbers, which are no vectors of ", dim);
  return check_cu_seqlens(vectors.cu_seqlens, values / dim);
}

Status max_sim(Engine& engine, Stream& stream, const TokenVectors& queries, const TokenVectors& documents,
               int64_t dim, float* out, const KeepGoing& keep_going) {
  const int64_t query_tokens = queries.cu_seqlens.back();
  const int64_t count = documents.texts();
  std::fill_n(out, queries.texts() * count, 0.f);
  if (query_tokens == 0 || documents.cu_seqlens.back() == 0) return Status::ok();

  // The queries are the weight of a linear layer that the documents' tokens go through.
  LinearSource source;
  source.parts.push_back({{queries.data.data(), DType::kF32, {query_tokens, dim}}, {}});
  auto weight = engine.pack_linear(source);
  if (!weight.is_ok()) return weight.status();
  RowProgram program;
  const Slot tokens = program.bound(0, dim);
  program.steps.push_back(LinearStep{weight.take(), tokens, program.bound(1, query_tokens)});

  HostRows rows(engine, stream, documents.data.data(), documents.cu_seqlens.back(), dim);
  const auto take = [&](int64_t document, std::span<const float> best) {
    for (int64_t q = 0; q < queries.texts(); ++q) {
      const auto first = best.begin() + queries.cu_seqlens[q];
      const auto last = best.begin() + queries.cu_seqlens[q + 1];
      out[q * count + document] = static_cast<float>(std::accumulate(first, last, 0.0));
    }
  };
  return sequence_max(engine, stream, {program, query_tokens, documents.cu_seqlens}, rows, take, keep_going);
}

}  // namespace padless
