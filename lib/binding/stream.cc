#include "lib/binding/stream.h"

#include <algorithm>
#include <utility>

#include "lib/binding/completion.h"

namespace padless::binding {
namespace {

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
    if (!status.is_ok()) note(std::make_shared<Failure>(std::move(status)));
  }
}

void StreamState::run(Operands inputs, Operands outputs, Op op) {
  wait_for(inputs);
  stream_->enqueue([this, queue = stream_.get(), inputs = std::move(inputs), outputs = std::move(outputs),
                    op = std::move(op)] {
    if (cancelled_) return;
    std::shared_ptr<Failure> failure = first_failure(inputs);
    if (!failure) {
      Status status = op(engine(), *queue);
      if (status.is_ok()) return;
      failure = std::make_shared<Failure>(std::move(status));
      note(failure);
    }
    for (const auto& output : outputs) output->fail(failure);
  });
}

Napi::Value StreamState::run_async(Napi::Env env, Operands inputs, Op work,
                                   std::function<Napi::Value(Napi::Env)> value) {
  wait_for(inputs);
  auto pending = PendingPromise::create(env);
  auto outcome = std::make_shared<Status>();
  stream_->enqueue(
      [this, queue = stream_.get(), inputs = std::move(inputs), work = std::move(work), outcome] {
        if (cancelled_) return;
        if (auto failure = first_failure(inputs)) {
          failure->reported = true;
          *outcome = failure->status;
        } else {
          *outcome = work(engine(), *queue);
        }
      });
  stream_->on_complete([pending, outcome, value = std::move(value)](Status status) {
    pending->settle(outcome->is_ok() ? std::move(status) : *outcome, value);
  });
  return pending->promise();
}

Napi::Value StreamState::synchronize(Napi::Env env) {
  auto pending = PendingPromise::create(env);
  stream_->on_complete([this, pending](Status status) {
    Status failure = take_failure();
    pending->settle(failure.is_ok() ? std::move(status) : std::move(failure),
                    [](Napi::Env env) { return env.Undefined(); });
  });
  return pending->promise();
}

void StreamState::dispose(Napi::Env env) {
  if (disposed_ || !stream_) return;
  disposed_ = true;
  stream_->on_complete([this, completion = env_data(env).completion](Status) {
    completion->post([this](Napi::Env env) { env_data(env).streams.erase(this); });
  });
}

void StreamState::note(std::shared_ptr<Failure> failure) {
  const std::lock_guard lock(mutex_);
  std::erase_if(failures_, [](const auto& earlier) { return earlier->reported.load(); });
  failures_.push_back(std::move(failure));
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
  StreamHandle::define(env, {StreamHandle::InstanceMethod<&StreamHandle::synchronize>("synchronize"),
                             StreamHandle::InstanceMethod<&StreamHandle::record>("record"),
                             StreamHandle::InstanceMethod<&StreamHandle::wait>("wait")});
  EventHandle::define(env,
                      {EventHandle::InstanceMethod<&EventHandle::is_complete>("isComplete"),
                       EventHandle::InstanceMethod<&EventHandle::milliseconds_since>("millisecondsSince")});
  exports.Set("createStream", Napi::Function::New<create_stream>(env, "createStream"));
  exports.Set("createEvent", Napi::Function::New<create_event>(env, "createEvent"));
}

}  // namespace padless::binding
