// Pooling of token rows to one row a sequence, and picking single rows.
#pragma once

#include <cstdint>
#include <span>

#include "lib/core/packed_batch.h"
#include "lib/core/status.h"
#include "lib/engine/cpu/context.h"
#include "lib/engine/engine.h"

namespace padless {

/**
 * Engine::pool, as sentence-transformers' Pooling does it. Sums are f32 in the order of the tokens.
 * With `skip`, cls is the first token that counts, and weights of the weighted mean go on counting from the
 * first token of the sequence. If every token is skipped, cls is token 0, max is -inf, all others are 0.
 */
Status pool_cpu(const CpuContext& context, const PackedBatch& batch, const PoolArgs& args);

/** Engine::gather_rows. */
Status gather_rows_cpu(const CpuContext& context, const Matrix& in, std::span<const int32_t> indices,
                       const Matrix& out);

/** Engine::copy_rows_to_host. */
Status read_rows_cpu(const CpuContext& context, const Matrix& matrix, float* out);

}  // namespace padless
