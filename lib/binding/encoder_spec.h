// EncoderSpec and ForwardRequest from the plain objects that ts/encoder.ts passes.
#pragma once

#include "lib/binding/common.h"
#include "lib/encoder/encoder.h"

namespace padless::binding {

/** The native form of ts/models/spec.ts EncoderSpec with `pooling`, `head`, `compute` and perhaps `logits`
 * added. */
EncoderSpec read_spec(Reader& reader, Napi::Object object);

std::vector<PoolMode> read_pooling(Reader& reader, Napi::Value value, const char* field);

/** The native form of ts/models/heads/task_head.ts TaskHead. */
LogitsSpec read_logits(Reader& reader, Napi::Object object);

Activation read_activation(Reader& reader, Napi::Value value, const char* field);
PoolMode read_pool_mode(Reader& reader, Napi::Value value, const char* field);

}  // namespace padless::binding
