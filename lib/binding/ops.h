// Ops on tensors. Each enqueues itself and returns handles of its results at once; shapes are checked in
// ts/ops.ts, here only that no operand is smaller than they say.
#pragma once

#include <napi.h>

namespace padless::binding {

void init_linear(Napi::Env env, Napi::Object exports);
void init_norm(Napi::Env env, Napi::Object exports);
void init_attention(Napi::Env env, Napi::Object exports);
void init_pool(Napi::Env env, Napi::Object exports);
void init_gather(Napi::Env env, Napi::Object exports);
void init_max_sim(Napi::Env env, Napi::Object exports);

}  // namespace padless::binding
