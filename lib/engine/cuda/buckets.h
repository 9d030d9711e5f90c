// The capacities that batches are given, so that one captured graph serves many.
#pragma once

#include "lib/core/packed_batch.h"
#include "lib/engine/recording.h"

namespace padless::cuda {

/** Tokens rounded up to the next of a few edges, sequences to a power of two; {} for batches so long that
 * nothing is gained. */
BatchCapacity bucket_of(const PackedBatch& batch, bool recordable);

}  // namespace padless::cuda
