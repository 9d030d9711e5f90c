#include "lib/binding/batch.h"

namespace padless::binding {
namespace {

std::vector<int32_t> copy(std::span<const int32_t> values) { return {values.begin(), values.end()}; }

Status check(const HostBatch& batch) {
  const size_t tokens = batch.ids.size();
  PADLESS_RETURN_IF_ERROR(check_cu_seqlens(batch.cu_seqlens, static_cast<int64_t>(tokens)));
  PADLESS_CHECK(batch.positions.size() == tokens, Code::kInvalidArgument, "positions", "there are ",
                batch.positions.size(), " positions for ", tokens, " tokens");
  PADLESS_CHECK(batch.token_types.empty() || batch.token_types.size() == tokens, Code::kInvalidArgument,
                "tokenTypes", "there are ", batch.token_types.size(), " token types for ", tokens, " tokens");
  return Status::ok();
}

}  // namespace

std::shared_ptr<const HostBatch> read_batch(Reader& reader, Napi::Value value) {
  const Napi::Object fields = reader.object(value, "batch");
  auto batch = std::make_shared<HostBatch>();
  batch->ids = copy(reader.int32s(fields.Get("ids"), "ids"));
  batch->positions = copy(reader.int32s(fields.Get("positions"), "positions"));
  batch->cu_seqlens = copy(reader.int32s(fields.Get("cuSeqlens"), "cuSeqlens"));
  const Napi::Value token_types = fields.Get("tokenTypes");
  if (!token_types.IsUndefined()) batch->token_types = copy(reader.int32s(token_types, "tokenTypes"));
  if (reader.is_ok()) {
    if (Status status = check(*batch); !status.is_ok()) reader.fail(std::move(status));
  }
  return batch;
}

}  // namespace padless::binding
