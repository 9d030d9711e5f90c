#include "lib/core/packed_batch.h"

#include <algorithm>

namespace padless {

Status check_cu_seqlens(std::span<const int32_t> cu_seqlens, int64_t tokens) {
  const auto fail = [](const std::string& message) {
    return Status(Code::kInvalidArgument, message, "cuSeqlens");
  };
  if (cu_seqlens.empty()) return fail("cuSeqlens is empty; it holds B + 1 prefix sums, [0] for no sequence");
  if (cu_seqlens[0] != 0) return fail(concat("cuSeqlens must start at 0, not ", cu_seqlens[0]));
  for (size_t i = 1; i < cu_seqlens.size(); ++i) {
    if (cu_seqlens[i] < cu_seqlens[i - 1]) {
      return fail(
          concat("cuSeqlens decreases at index ", i, ": ", cu_seqlens[i - 1], " then ", cu_seqlens[i]));
    }
  }
  if (cu_seqlens.back() != tokens) {
    return fail(concat("cuSeqlens ends at ", cu_seqlens.back(), " but there are ", tokens, " tokens"));
  }
  return Status::ok();
}

Status check_arrays(const PackedBatch& batch) {
  const int64_t tokens = batch.tokens();
  const auto check = [tokens](std::span<const int32_t> array, const char* field) -> Status {
    PADLESS_CHECK(static_cast<int64_t>(array.size()) == tokens, Code::kInvalidArgument, field, field, " has ",
                  array.size(), " entries for ", tokens, " tokens");
    return Status::ok();
  };
  PADLESS_RETURN_IF_ERROR(check(batch.ids, "ids"));
  PADLESS_RETURN_IF_ERROR(check(batch.positions, "positions"));
  return batch.token_types.empty() ? Status::ok() : check(batch.token_types, "tokenTypes");
}

int64_t max_length(std::span<const int32_t> cu_seqlens) {
  int32_t longest = 0;
  for (size_t i = 1; i < cu_seqlens.size(); ++i) {
    longest = std::max(longest, cu_seqlens[i] - cu_seqlens[i - 1]);
  }
  return longest;
}

}  // namespace padless
