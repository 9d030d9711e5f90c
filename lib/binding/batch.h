// The host's packed batch as the binding passes it on: copied from JS, so that nobody changes it underneath.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "lib/binding/common.h"
#include "lib/core/packed_batch.h"

namespace padless::binding {

struct HostBatch {
  std::vector<int32_t> ids;
  std::vector<int32_t> positions;
  std::vector<int32_t> token_types;  // empty: all zero
  std::vector<int32_t> cu_seqlens;
  std::vector<int32_t> key_counts;  // empty: all

  PackedBatch view() const { return {ids, positions, token_types, cu_seqlens, key_counts}; }
};

/** Reads {ids, positions, tokenTypes?, cuSeqlens}, Int32Arrays, and checks that their lengths agree. */
std::shared_ptr<const HostBatch> read_batch(Reader& reader, Napi::Value value);

}  // namespace padless::binding
