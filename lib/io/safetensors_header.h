// The header of a safetensors file: what its tensors are called, and where they lie.
//
// File: u64 little-endian header length N; N bytes of JSON that start with '{'; the data.
// JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...} and optionally
// "__metadata__": {string: string}. Offsets count from the start of the data; sorted, the tensors cover it
// exactly, without holes or overlap. Format: https://github.com/huggingface/safetensors#format
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/dtype.h"
#include "lib/core/status.h"

namespace padless {

/** The format's own limit, which every reader shares. */
inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;

/** An element type the format knows. */
struct SafetensorsDType {
  const char* name;            // as in the file: "F32", "BF16", "F8_E4M3", ...
  int bits;                    // of one element; sub-byte types are packed
  std::optional<DType> dtype;  // none: legal in a file, but not as a weight
};

struct SafetensorsEntry {
  std::string name;
  const SafetensorsDType* dtype = nullptr;
  std::vector<int64_t> shape;  // [] is a scalar; a dimension may be 0
  uint64_t begin = 0;          // bytes from the start of the data
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // by position in the data
  std::map<std::string, std::string> metadata;
};

/**
 * Parses the JSON of a header in front of `data_bytes` bytes of data. kBadWeights, with the tensor as field
 * where one is at fault, for anything the format forbids.
 */
Result<SafetensorsHeader> parse_safetensors_header(std::string_view json, uint64_t data_bytes);

/** `name` in quotes for a message: control characters escaped, long names cut. */
std::string quoted_name(std::string_view name);

}  // namespace padless
