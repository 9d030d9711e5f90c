#include "lib/binding/stream.h"

#include <algorithm>
#include <utility>

#include "lib/binding/completion.h"

namespace padless::binding {
namespace {

/** An op in the queue, with all that its failure needs. */
struct QueuedOp {
  Operands inputs, outputs;
  Op op;
  std::list<std::shared_ptr<Failure>> failure = {std::make_shared<Failure>()};
};

/** Forgets a stream whose work is done. */
class Erasure final : public Completion::Delivery {
 public:
  explicit Erasure(StreamState* state) : state_(state) {}
  void run(Napi::Env env) override { env_data(env).streams.erase(state_); }

 private:
  StreamState* const state_;
};

std::shared_ptr<Failure> first_failure(const Operands& operands) {
  for (const auto& operand : operands) {
    if (auto failure = operand->failure()) return failure;
  }
  return nullptr;
}

}  // namespace

std::shared_ptr<Failure> Produced::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void Produced::fail(std::shared_ptr<Failure> failure) {
  const std::lock_guard lock(mutex_);
  failure_ = std::move(failure);
}

void StreamState::wait_for(const Operands& inputs) {
  std::vector<std::shared_ptr<StreamState>> homes;
  for (const auto& input : inputs) {
    auto home = input->home();
    if (home && home.get() != this && std::find(homes.begin(), homes.end(), home) == homes.end()) {
      homes.push_back(std::move(home));
    }
  }
  for (const auto& home : homes) {
    Result<std::unique_ptr<Event>> made = engine().create_event();
    Status status = made.status();
    if (status.is_ok()) status = made.value()->record(home->queue());
    if (status.is_ok()) status = made.value()->wait(queue());
    if (status.is_ok()) continue;
    std::list<std::shared_ptr<Failure>> failure = {std::make_shared<Failure>(std::move(status))};
    note(failure);
  }
}

void StreamState::run(Operands inputs, Operands outputs, Op op) {
  wait_for(inputs);
  const auto queued = std::make_shared<QueuedOp>(std::move(inputs), std::move(outputs), std::move(op));
  stream_->enqueue([this, queue = stream_.get(), queued] {
    if (cancelled_) return;
    std::shared_ptr<Failure> failure = first_failure(queued->inputs);
    if (!failure) {
      Status status = guarded([&] { return queued->op(engine(), *queue); });
      if (status.is_ok()) return;
      failure = queued->failure.front();
      failure->status = std::move(status);
      note(queued->failure);
    }
    for (const auto& output : queued->outputs) output->fail(failure);
  });
}

Napi::Value StreamState::run_async(Napi::Env env, Operands inputs, Op work,
                                   std::function<Napi::Value(Napi::Env)> value) {
  wait_for(inputs);
  const auto outcome = std::make_shared<Status>();
  stream_->enqueue(
      [this, queue = stream_.get(), inputs = std::move(inputs), work = std::move(work), outcome] {
        if (cancelled_) return;
        *outcome = guarded([&] {
          const auto failure = first_failure(inputs);
          if (!failure) return work(engine(), *queue);
          failure->reported = true;
          return failure->status;
        });
      });
  return promise_of_completion(
      env, [outcome](Status status) { return outcome->is_ok() ? std::move(status) : std::move(*outcome); },
      std::move(value));
}

Napi::Value StreamState::promise_of_completion(Napi::Env env, std::function<Status(Status)> outcome,
                                               std::function<Napi::Value(Napi::Env)> value) {
  const auto pending = PendingPromise::create(env);
  const Status status = guarded([&] {
    stream_->on_complete(
        [pending, outcome = std::move(outcome), value = std::move(value)](Status status) mutable {
          pending->settle(outcome(std::move(status)), std::move(value));
        });
    return Status::ok();
  });
  if (!status.is_ok()) pending->settle(status, nullptr);
  return pending->promise();
}

Napi::Value StreamState::synchronize(Napi::Env env) {
  const auto outcome = [this](Status status) {
    Status failure = guarded([this] { return take_failure(); });
    return failure.is_ok() ? std::move(status) : std::move(failure);
  };
  return promise_of_completion(env, outcome, [](Napi::Env env) { return env.Undefined(); });
}

void StreamState::dispose(Napi::Env env) {
  if (disposed_ || !stream_) return;
  disposed_ = true;
  stream_->on_complete([this, completion = env_data(env).completion](Status) {
    completion->post(std::make_unique<Erasure>(this));
  });
}

void StreamState::note(std::list<std::shared_ptr<Failure>>& failure) {
  const std::lock_guard lock(mutex_);
  std::erase_if(failures_, [](const auto& earlier) { return earlier->reported.load(); });
  failures_.splice(failures_.end(), failure);
}

Status StreamState::take_failure() {
  const std::lock_guard lock(mutex_);
  Status first;
  for (const auto& failure : failures_) {
    if (!failure->reported.exchange(true) && first.is_ok()) first = failure->status;
  }
  failures_.clear();
  return first;
}

Napi::Value StreamHandle::synchronize(const Napi::CallbackInfo& info) {
  const auto state = object_or_throw(info.Env());
  return state ? state->synchronize(info.Env()) : info.Env().Undefined();
}

void StreamHandle::record(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto event = reader.handle<EventHandle>(info[0], "event");
  const auto state = object_or_throw(info.Env());
  if (!state) return;
  if (!reader.is_ok()) return (void)reader.raise();
  if (Status status = event->record(state->queue()); !status.is_ok()) throw_status(info.Env(), status);
}

void StreamHandle::wait(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto event = reader.handle<EventHandle>(info[0], "event");
  const auto state = object_or_throw(info.Env());
  if (!state) return;
  if (!reader.is_ok()) return (void)reader.raise();
  if (Status status = event->wait(state->queue()); !status.is_ok()) throw_status(info.Env(), status);
}

Napi::Value EventHandle::is_complete(const Napi::CallbackInfo& info) {
  const auto event = object_or_throw(info.Env());
  return Napi::Boolean::New(info.Env(), event && event->is_complete());
}

Napi::Value EventHandle::milliseconds_since(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto start = reader.handle<EventHandle>(info[0], "start");
  const auto event = object_or_throw(info.Env());
  if (!event) return info.Env().Undefined();
  if (!reader.is_ok()) return reader.raise();
  const Result<double> milliseconds = event->milliseconds_since(*start);
  if (!milliseconds.is_ok()) return throw_status(info.Env(), milliseconds.status());
  return Napi::Number::New(info.Env(), milliseconds.value());
}

namespace {

/** createStream(device): Stream. */
Napi::Value create_stream(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto device = reader.handle<DeviceHandle>(info[0], "device");
  if (!reader.is_ok()) return reader.raise();
  Result<std::shared_ptr<Stream>> stream = device->engine->create_stream();
  if (!stream.is_ok()) return throw_status(info.Env(), stream.status());
  auto state = std::make_shared<StreamState>(device, stream.take());
  env_data(info.Env()).streams.emplace(state.get(), state);
  return StreamHandle::wrap(info.Env(), std::move(state));
}

/** createEvent(device): Event. */
Napi::Value create_event(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto device = reader.handle<DeviceHandle>(info[0], "device");
  if (!reader.is_ok()) return reader.raise();
  Result<std::unique_ptr<Event>> event = device->engine->create_event();
  if (!event.is_ok()) return throw_status(info.Env(), event.status());
  return EventHandle::wrap(info.Env(), event.take());
}

}  // namespace

void init_stream(Napi::Env env, Napi::Object exports) {
  StreamHandle::define(env, {StreamHandle::method<&StreamHandle::synchronize>("synchronize"),
                             StreamHandle::method<&StreamHandle::record>("record"),
                             StreamHandle::method<&StreamHandle::wait>("wait")});
  EventHandle::define(env, {EventHandle::method<&EventHandle::is_complete>("isComplete"),
                            EventHandle::method<&EventHandle::milliseconds_since>("millisecondsSince")});
  export_function<create_stream>(env, exports, "createStream");
  export_function<create_event>(env, exports, "createEvent");
}

}  // namespace padless::binding
