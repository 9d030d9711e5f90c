// Streams and events as JS sees them: ordered work, failures that travel with results, order between streams.
#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "lib/binding/common.h"
#include "lib/binding/device.h"
#include "lib/engine/engine.h"

namespace padless::binding {

/** Why an op has no result. Shared by its results and its stream; whoever is asked first reports it. Made
 * with the op, since that may fail for want of memory, and written once, when it does. */
struct Failure {
  Status status;
  std::atomic<bool> reported = false;
};

/** What an op of a stream makes and other ops read: a tensor's storage, a packed weight. Written once. */
class Produced {
 public:
  explicit Produced(const std::shared_ptr<StreamState>& home) : home_(home) {}
  virtual ~Produced() = default;

  /** The stream whose op makes it; null once that stream is gone, with all its work done. */
  std::shared_ptr<StreamState> home() const { return home_.lock(); }

  /** Any thread, once the op has run. */
  std::shared_ptr<Failure> failure() const;
  void fail(std::shared_ptr<Failure> failure);

 private:
  const std::weak_ptr<StreamState> home_;
  mutable std::mutex mutex_;  // guards failure_
  std::shared_ptr<Failure> failure_;
};

using Operands = std::vector<std::shared_ptr<Produced>>;

/** Runs on the stream's thread. */
using Op = std::function<Status(Engine& engine, Stream& stream)>;

/**
 * A stream of an environment. Methods belong to the JS thread. EnvData keeps the state until dispose() and
 * the end of all queued work, so tasks may point to it.
 */
class StreamState : public std::enable_shared_from_this<StreamState> {
 public:
  StreamState(std::shared_ptr<DeviceState> device, std::shared_ptr<Stream> stream)
      : device_(std::move(device)), stream_(std::move(stream)) {}

  const std::shared_ptr<DeviceState>& device() const { return device_; }
  Engine& engine() const { return *device_->engine; }
  Stream& queue() const { return *stream_; }
  /** Any thread: the environment has ended; long work should stop at the next chance. */
  bool is_cancelled() const { return cancelled_; }

  /**
   * Enqueues `op`, which runs after the ops that make `inputs`, whatever their streams. Its failure, or that
   * of an input, becomes that of `outputs`, and waits for synchronize().
   */
  void run(Operands inputs, Operands outputs, Op op);

  /**
   * Enqueues `work` in the same way; the promise settles when the device has finished it, with `value(env)`
   * or the failure.
   */
  Napi::Value run_async(Napi::Env env, Operands inputs, Op work, std::function<Napi::Value(Napi::Env)> value);

  /** A promise for the end of all work so far; rejects with the first failure that nobody has reported. */
  Napi::Value synchronize(Napi::Env env);

  /** No work will follow; the stream goes when it is drained, without anybody waiting. */
  void dispose(Napi::Env env);

  /** The environment ends: queued work is skipped; then drain() waits for the task that runs. */
  void cancel() { cancelled_ = true; }
  void drain() { stream_.reset(); }

 private:
  void wait_for(const Operands& inputs);
  /** A promise for the end of all work so far, settled with what `outcome` makes of its status. */
  Napi::Value promise_of_completion(Napi::Env env, std::function<Status(Status)> outcome,
                                    std::function<Napi::Value(Napi::Env)> value);
  /** `failure` holds one. */
  void note(std::list<std::shared_ptr<Failure>>& failure);
  Status take_failure();

  const std::shared_ptr<DeviceState> device_;
  bool disposed_ = false;
  std::atomic<bool> cancelled_ = false;
  std::mutex mutex_;  // guards failures_
  std::list<std::shared_ptr<Failure>> failures_;
  std::shared_ptr<Stream> stream_;  // last: its destruction runs what is queued
};

class StreamHandle : public Handle<StreamHandle, StreamState> {
 public:
  static constexpr const char* kName = "Stream";
  static constexpr napi_type_tag kTag = {0x1f6b0d94e2a7c358, 0x8d53e7f1b94a206c};
  using Handle::Handle;

  Napi::Value synchronize(const Napi::CallbackInfo& info);
  void record(const Napi::CallbackInfo& info);
  void wait(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override { release(env); }
  static void on_release(Napi::Env env, StreamState& state) { state.dispose(env); }
};

class EventHandle : public Handle<EventHandle, Event> {
 public:
  static constexpr const char* kName = "Event";
  static constexpr napi_type_tag kTag = {0xc2487a15f90b6ed3, 0x5e17d8a6304fb92c};
  using Handle::Handle;

  Napi::Value is_complete(const Napi::CallbackInfo& info);
  Napi::Value milliseconds_since(const Napi::CallbackInfo& info);
};

void init_stream(Napi::Env env, Napi::Object exports);

}  // namespace padless::binding
