// Encoders as JS holds them: the shared weights, and a stream of their own on which they run.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>

#include "lib/binding/common.h"
#include "lib/binding/stream.h"
#include "lib/encoder/encoder.h"

namespace padless::binding {

/** How JS follows and stops one load or run. The work holds it too. */
struct Ticket {
  std::atomic<bool> cancelled = false;
  std::atomic<int64_t> done = 0;
  std::atomic<int64_t> total = 0;
};

class TicketHandle : public Handle<TicketHandle, Ticket> {
 public:
  static constexpr const char* kName = "Ticket";
  static constexpr napi_type_tag kTag = {0x3b9ae07d51c86f24, 0xe6107f2c9ad84b53};
  using Handle::Handle;

  void cancel(const Napi::CallbackInfo& info);
  /** [done, total] */
  Napi::Value progress(const Napi::CallbackInfo& info);
};

/** Runs hold it by shared_ptr, so it outlives a dispose until they end. */
struct EncoderSession {
  std::shared_ptr<Encoder> encoder;
  std::shared_ptr<StreamState> stream;
  std::string cache_warning;         // why the packed weights could not be kept; empty if they were
  std::atomic<bool> closed = false;  // disposed: what is queued and running stops at its next step
  Workspaces spaces;                 // of the stream's thread
  HostBytes::Keeper keeps_results;
};

class EncoderHandle : public Handle<EncoderHandle, EncoderSession> {
 public:
  static constexpr const char* kName = "Encoder";
  static constexpr napi_type_tag kTag = {0x94d2f85b7e036ac1, 0x2b70c9e6a8f1453d};
  using Handle::Handle;

  /** run(batch, request, ticket): Promise of {lastHiddenState?, poolerOutput?, sentenceEmbedding?}
   * ArrayBuffers. */
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value weight_bytes(const Napi::CallbackInfo& info);
  /** Why the packed weights could not be kept; empty if nothing went wrong. */
  Napi::Value cache_warning(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override { release(env); }
  static void on_release(Napi::Env env, EncoderSession& session);
};

void init_encoder(Napi::Env env, Napi::Object exports);

}  // namespace padless::binding
