// EncoderSpec and ForwardRequest from the plain objects that ts/encoder.ts passes.
#pragma once

#include "lib/binding/common.h"
#include "lib/encoder/encoder.h"

namespace padless::binding {

/** The native form of ts/models/spec.ts EncoderSpec with `pooling`, `head` and `compute` added. */
EncoderSpec read_spec(Reader& reader, Napi::Object object);

std::vector<PoolMode> read_pooling(Reader& reader, Napi::Value value, const char* field);

}  // namespace padless::binding
