// Embedding lookup: word + position + token type, then a norm.
#pragma once

#include "lib/core/packed_batch.h"
#include "lib/core/status.h"
#include "lib/engine/cpu/context.h"
#include "lib/engine/engine.h"

namespace padless {

/**
 * Engine::embed. Tables are f32, f16 or bf16, `out` is f32; statistics of the norm are fp32 and two-pass.
 * E_INVALID_ARGUMENT for shapes that disagree and for an id, position or token type outside its table.
 */
Status embed_cpu(const CpuContext& context, const PackedBatch& batch, const EmbedArgs& args);

}  // namespace padless
