// Varlen attention on packed tokens.
#pragma once

#include "lib/core/packed_batch.h"
#include "lib/core/status.h"
#include "lib/engine/cpu/attention/kernel.h"
#include "lib/engine/cpu/attention/plan.h"
#include "lib/engine/cpu/context.h"
#include "lib/engine/engine.h"

namespace padless {

/**
 * Engine::attention: out = softmax(scale q k^T + bias) v within each sequence, in fp32, or with the
 * products in bf16 if args.compute is less than fp32, the chip multiplies bf16 (AMX, AVX512-BF16) and no
 * positions are disentangled.
 * Positions of the span and distances of the bias are indices within the sequence. A query that sees no key
 * gives 0, and -inf as its lse. Scores are never kept for more than one block of queries and keys.
 * E_INVALID_ARGUMENT for shapes that disagree with each other or with the plan, and for more than one kind of
 * bias, naming the field.
 */
Status attention_cpu(const CpuContext& context, const AttentionPlan& plan, const PackedBatch& batch,
                     const AttentionArgs& args);

/** Whether q, k and v without a disentangled bias may be bf16. */
bool attention_takes_bf16_cpu(const CpuIsa& isa, ComputeType compute);

/** The same on kernels of the caller's choice, which must be able to run here. */
Status attention_with(const AttentionKernels& kernels, const CpuContext& context, const AttentionPlan& plan,
                      const PackedBatch& batch, const AttentionArgs& args);

/** E_INVALID_ARGUMENT unless heads, KV heads and their size fit together. */
Status check_attention_shape(const AttentionShape& shape);

}  // namespace padless
