// ColBERT's late interaction (arXiv:2004.12832, equation 3) over packed vectors.
#pragma once

#include <span>

#include "lib/encoder/row_blocks.h"

namespace padless {

/** Token vectors of several texts, f32 [cu_seqlens.back(), dim], in host memory. */
struct TokenVectors {
  std::span<const float> data;
  std::span<const int32_t> cu_seqlens;  // [texts + 1]

  int64_t texts() const { return static_cast<int64_t>(cu_seqlens.size()) - 1; }
};

/** E_INVALID_ARGUMENT where offsets and vectors do not belong together; `field` names them. */
Status check(const TokenVectors& vectors, int64_t dim, const char* field);

/**
 * out[q * documents + d] = sum over the tokens i of query q of max over the tokens j of document d of
 * <query_i, document_j>; 0 for a document or a query without tokens. Similarities are computed for a block of
 * documents' tokens at a time; sums are float64.
 */
Status max_sim(Engine& engine, Stream& stream, const TokenVectors& queries, const TokenVectors& documents,
               int64_t dim, float* out, const KeepGoing& keep_going);

}  // namespace padless
