// The way back to the JS thread: deliveries that settle promises when native work is done.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "lib/binding/common.h"
#include "lib/core/status.h"

namespace padless::binding {

/**
 * One queue of deliveries per environment, on one ThreadSafeFunction. It keeps the process alive while a
 * promise is pending and not a moment longer. Native work holds it by shared_ptr and may outlive the
 * environment.
 */
class Completion {
 public:
  /** What is to be done on the JS thread; made where a lack of memory can still be reported. */
  class Delivery {
   public:
    virtual ~Delivery() = default;
    virtual void run(Napi::Env env) = 0;
  };

  /** JS thread, once per environment. */
  static std::shared_ptr<Completion> create(Napi::Env env);

  /** Any thread: runs `delivery` on the JS thread soon; destroys it unrun if the environment has ended. */
  void post(std::unique_ptr<Delivery> delivery);

  /** JS thread: one more, one fewer promise to stay alive for. */
  void hold(Napi::Env env);
  void let_go(Napi::Env env);

  /** JS thread, when the environment ends: nothing runs any more. */
  void close();

 private:
  std::mutex mutex_;  // guards function_
  napi_threadsafe_function function_ = nullptr;
  int held_ = 0;
};

/** A promise that any thread settles once; the process stays alive until then. Held by shared_ptr. */
class PendingPromise : public std::enable_shared_from_this<PendingPromise> {
 public:
  /** JS thread. */
  static std::shared_ptr<PendingPromise> create(Napi::Env env);
  ~PendingPromise();
  Napi::Value promise() const { return deferred_.Promise(); }

  /** Any thread. Rejects with `status`, or, if that is ok, runs `value` on the JS thread for the result.
   * Takes no memory: the work may have failed for want of it. */
  void settle(Status status, std::function<Napi::Value(Napi::Env)> value) noexcept;

 private:
  class Settlement;
  explicit PendingPromise(Napi::Env env);

  std::shared_ptr<Completion> completion_;
  Napi::Promise::Deferred deferred_;
  std::unique_ptr<Settlement> settlement_;  // until it is on its way
};

/**
 * Runs `work` on a thread of libuv's pool, for what takes long and belongs to no stream (reading and packing
 * weights); the promise has `value(env)`, or rejects with the status of `work`.
 */
Napi::Value run_in_background(Napi::Env env, std::function<Status()> work,
                              std::function<Napi::Value(Napi::Env)> value);

}  // namespace padless::binding
