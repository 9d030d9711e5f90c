#include "lib/binding/completion.h"

#include <utility>

namespace padless::binding {
namespace {

/** env is null for what was still queued when the environment ended. */
void run_delivery(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Completion::Delivery> delivery(static_cast<Completion::Delivery*>(data));
  if (env != nullptr) delivery->run(env);
}

void settle(Napi::Env env, const Napi::Promise::Deferred& deferred, const Status& status,
            const std::function<Napi::Value(Napi::Env)>& value) {
  if (!status.is_ok()) return deferred.Reject(make_error(env, status).Value());
  const Napi::Value result = call_guarded(env, [&] { return value(env); });
  if (env.IsExceptionPending()) {
    const Napi::Error error = env.GetAndClearPendingException();
    // Empty, like the result: the environment is being terminated, and nobody waits for the promise any more.
    if (!error.IsEmpty()) deferred.Reject(error.Value());
    return;
  }
  if (!result.IsEmpty()) deferred.Resolve(result);
}

class BackgroundWork : public Napi::AsyncWorker {
 public:
  BackgroundWork(Napi::Env env, std::function<Status()> work, std::function<Napi::Value(Napi::Env)> value)
      : Napi::AsyncWorker(env, "padless"), deferred_(env), work_(std::move(work)), value_(std::move(value)) {}

  Napi::Value promise() const { return deferred_.Promise(); }
  void Execute() override { status_ = guarded(work_); }
  void OnOK() override { settle(Env(), deferred_, status_, value_); }

 private:
  Napi::Promise::Deferred deferred_;
  std::function<Status()> work_;
  std::function<Napi::Value(Napi::Env)> value_;
  Status status_;
};

}  // namespace

std::shared_ptr<Completion> Completion::create(Napi::Env env) {
  auto completion = std::make_shared<Completion>();
  const Napi::String name = Napi::String::New(env, "padless");
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, run_delivery,
                                  &completion->function_);
  napi_unref_threadsafe_function(env, completion->function_);
  return completion;
}

void Completion::post(std::unique_ptr<Delivery> delivery) {
  const std::lock_guard lock(mutex_);
  if (function_ == nullptr) return;
  if (napi_call_threadsafe_function(function_, delivery.get(), napi_tsfn_nonblocking) == napi_ok) {
    (void)delivery.release();  // run_delivery has it now
  }
}

void Completion::hold(Napi::Env env) {
  if (held_++ == 0) napi_ref_threadsafe_function(env, function_);
}

void Completion::let_go(Napi::Env env) {
  if (--held_ == 0) napi_unref_threadsafe_function(env, function_);
}

void Completion::close() {
  const std::lock_guard lock(mutex_);
  if (function_ == nullptr) return;
  napi_release_threadsafe_function(function_, napi_tsfn_abort);
  function_ = nullptr;
}

class PendingPromise::Settlement final : public Completion::Delivery {
 public:
  void run(Napi::Env env) override {
    promise->completion_->let_go(env);
    binding::settle(env, promise->deferred_, status, value);
  }

  std::shared_ptr<PendingPromise> promise;
  Status status;
  std::function<Napi::Value(Napi::Env)> value;
};

PendingPromise::PendingPromise(Napi::Env env)
    : completion_(env_data(env).completion), deferred_(env), settlement_(std::make_unique<Settlement>()) {}

std::shared_ptr<PendingPromise> PendingPromise::create(Napi::Env env) {
  std::shared_ptr<PendingPromise> pending(new PendingPromise(env));
  pending->completion_->hold(env);
  return pending;
}

PendingPromise::~PendingPromise() = default;

void PendingPromise::settle(Status status, std::function<Napi::Value(Napi::Env)> value) noexcept {
  settlement_->promise = shared_from_this();
  settlement_->status = std::move(status);
  settlement_->value = std::move(value);
  completion_->post(std::move(settlement_));
}

Napi::Value run_in_background(Napi::Env env, std::function<Status()> work,
                              std::function<Napi::Value(Napi::Env)> value) {
  auto* background = new BackgroundWork(env, std::move(work), std::move(value));  // deletes itself when done
  background->Queue();
  return background->promise();
}

}  // namespace padless::binding
