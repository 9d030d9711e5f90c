// The engine's ops other than row programs: checks, then one or two kernels.
#pragma once

#include <span>

#include "lib/engine/cuda/batch.h"
#include "lib/engine/cuda/stream.h"
#include "lib/engine/engine.h"

namespace padless::cuda {

/** Engine::embed. Indices of the batch are checked against the tables here. */
Status run_embed(CudaQueue& queue, const CudaBatch& batch, const EmbedArgs& args);
/** Engine::attention. */
Status run_attention(CudaQueue& queue, const CudaBatch& batch, const AttentionArgs& args);
/** Engine::pool. */
Status run_pool(CudaQueue& queue, const CudaBatch& batch, const PoolArgs& args);
/** Engine::gather_rows. */
Status run_gather(CudaQueue& queue, const Matrix& in, std::span<const int32_t> indices, const Matrix& out);
/** Engine::copy_rows_to_host. */
Status read_rows(CudaQueue& queue, const Matrix& matrix, float* out);

}  // namespace padless::cuda
