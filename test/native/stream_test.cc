// Streams and events of the CPU: order, waiting, and the ways a stream may die.
#include "lib/engine/cpu/stream.h"

#include <atomic>
#include <chrono>
#include <future>
#include <new>
#include <stdexcept>
#include <thread>

#include "test/native/cpu_test.h"

namespace padless::test {
namespace {

void pause_milliseconds(int count) { std::this_thread::sleep_for(std::chrono::milliseconds(count)); }

/** Returns when everything enqueued so far has run. */
void drain(CpuStream& stream) {
  check(stream.run_in_order([] { return Status::ok(); }).is_ok(), "an op that does nothing failed");
}

void test_order() {
  CpuStream stream;
  std::vector<int> order;
  std::thread::id runner;
  for (int i = 0; i < 1000; ++i) stream.enqueue([&order, i] { order.push_back(i); });
  stream.enqueue([&] { runner = std::this_thread::get_id(); });
  std::promise<Code> done;
  stream.on_complete([&](Status status) { done.set_value(status.code()); });
  check(done.get_future().get() == Code::kOk, "on_complete reports an error");
  check(order.size() == 1000, "on_complete came before the tasks had run");
  for (int i = 0; i < 1000; ++i) check(order[i] == i, "tasks ran out of order");
  check(runner != std::this_thread::get_id(), "a task ran on its caller's thread");
}

void test_many_producers() {
  constexpr int kProducers = 4;
  std::vector<int> last(kProducers, -1);
  bool ordered = true;
  {
    CpuStream stream;
    std::vector<std::thread> producers;
    for (int p = 0; p < kProducers; ++p) {
      producers.emplace_back([&, p] {
        for (int i = 0; i < 500; ++i) {
          stream.enqueue([&, p, i] {
            ordered = ordered && last[p] == i - 1;
            last[p] = i;
          });
        }
      });
    }
    for (std::thread& producer : producers) producer.join();
  }
  for (int count : last) check(ordered && count == 499, "a producer's tasks were lost or mixed up");
}

void test_destruction_finishes_work() {
  int ran = 0;
  {
    CpuStream stream;
    for (int i = 0; i < 50; ++i) {
      stream.enqueue([&ran, i] {
        if (i == 0) pause_milliseconds(20);
        ++ran;
      });
    }
  }
  check(ran == 50, concat("a destroyed stream had run ", ran, " of 50 tasks"));
  { CpuStream never_used; }
}

void test_last_reference_dropped_by_a_task() {
  std::promise<void> gate;
  std::promise<int> end;
  auto ran = std::make_shared<std::atomic<int>>(0);
  auto stream = std::make_shared<CpuStream>();
  CpuStream* raw = stream.get();
  raw->enqueue([held = stream, opened = gate.get_future().share()] { opened.wait(); });
  raw->enqueue([ran] { ++*ran; });
  raw->enqueue([ran, &end] { end.set_value(++*ran); });
  stream.reset();
  gate.set_value();
  auto result = end.get_future();
  check(result.wait_for(std::chrono::seconds(20)) == std::future_status::ready,
        "a stream that died on its own thread forgot its tasks");
  check(result.get() == 2, "a stream that died on its own thread skipped a task");
}

void test_run_in_order() {
  CpuStream stream;
  int steps = 0;
  stream.enqueue([&] {
    pause_milliseconds(10);
    ++steps;
  });
  const Status status = stream.run_in_order([&] {
    check(steps == 1, "run_in_order overtook a queued task");
    check(stream.on_own_thread(), "an op ran off its stream's thread");
    // From the stream's own thread it must not wait for itself.
    return stream.run_in_order([] { return Status(Code::kAborted, "inner", "field"); });
  });
  check_status(status, Code::kAborted, "field", "run_in_order");
  check(!stream.on_own_thread(), "on_own_thread on a foreign thread");
}

/** The status that on_complete reports of the tasks so far. */
Status completion(CpuStream& stream) {
  std::promise<Status> done;
  stream.on_complete([&](Status status) { done.set_value(std::move(status)); });
  return done.get_future().get();
}

void test_tasks_that_throw() {
  CpuStream stream;
  int ran = 0;
  stream.enqueue([] { throw std::bad_alloc(); });
  stream.enqueue([] { throw std::runtime_error("the second"); });
  stream.enqueue([&] { ++ran; });
  check_status(completion(stream), Code::kOutOfMemory, "", "a task without memory");
  check(ran == 1, "a task after one that threw did not run");
  check(completion(stream).is_ok(), "a failure was reported twice");
  stream.enqueue([] { throw std::runtime_error("why"); });
  const Status internal = completion(stream);
  check_status(internal, Code::kInternal, "", "a task that throws");
  check(internal.message().find("why") != std::string::npos, "what was thrown is not said");
  const auto refuse = []() -> Status { throw std::bad_alloc(); };
  check_status(stream.run_in_order(refuse), Code::kOutOfMemory, "", "an op without memory");
  check_status(stream.run_in_order([&] { return stream.run_in_order(refuse); }), Code::kOutOfMemory, "",
               "an op without memory, on the stream's thread");
  check(completion(stream).is_ok(), "what the caller was told is reported again");
}

std::unique_ptr<Event> make_event() { return create_cpu_event().take(); }

void test_events_order_streams() {
  CpuStream first;
  CpuStream second;
  const auto event = make_event();
  check(event->is_complete(), "an event that nobody recorded is not complete");
  check(event->wait(second).is_ok(), "waiting for an event that nobody recorded");
  std::atomic<int> value = 0;
  first.enqueue([&] {
    pause_milliseconds(30);
    value = 1;
  });
  check(event->record(first).is_ok(), "record");
  check(!event->is_complete(), "an event is complete before its stream got there");
  check(event->wait(second).is_ok(), "wait");
  int seen = 0;
  second.enqueue([&] { seen = value; });
  drain(second);
  check(seen == 1, "a waiting stream started early");
  check(event->is_complete(), "an event is not complete after a wait for it");

  // Recording again moves the point; the wait that was enqueued before keeps the old one.
  std::promise<void> gate;
  first.enqueue([opened = gate.get_future().share()] { opened.wait(); });
  check(event->record(first).is_ok(), "second record");
  check(!event->is_complete(), "recording again did not move the event");
  gate.set_value();
  drain(first);
  check(event->is_complete(), "the second recording was not reached");
}

void test_events_within_tasks() {
  CpuStream stream;
  CpuStream other;
  const auto event = make_event();
  const auto later = make_event();
  std::promise<void> gate;
  stream.enqueue([&, opened = gate.get_future().share()] {
    opened.wait();
    check(later->wait(stream).is_ok(), "a task waits for a point behind itself");
    check(event->record(stream).is_ok() && event->is_complete(), "a task records what it has done");
  });
  check(later->record(stream).is_ok(), "record behind the task");
  gate.set_value();
  std::atomic<bool> reached = false;
  const auto far = make_event();
  drain(stream);
  stream.enqueue([&] {
    pause_milliseconds(20);
    reached = true;
  });
  check(far->record(stream).is_ok(), "record for another stream");
  const Status waited = other.run_in_order([&] {
    const Status status = far->wait(other);
    check(reached, "a wait inside a task returned early");
    return status;
  });
  check(waited.is_ok(), "a wait inside a task");
}

void test_times() {
  CpuStream stream;
  const auto start = make_event();
  const auto end = make_event();
  check_status(end->milliseconds_since(*start).status(), Code::kInvalidArgument, "start", "times of nothing");
  check(start->record(stream).is_ok(), "record start");
  stream.enqueue([] { pause_milliseconds(15); });
  drain(stream);
  check_status(end->milliseconds_since(*start).status(), Code::kInvalidArgument, "event", "end not recorded");
  check(end->record(stream).is_ok(), "record end");
  drain(stream);
  Result<double> elapsed = end->milliseconds_since(*start);
  check(elapsed.is_ok() && elapsed.value() >= 14.9 && elapsed.value() < 10000, "elapsed milliseconds");
}

void test_event_outlives_stream() {
  const auto event = make_event();
  {
    CpuStream stream;
    stream.enqueue([] { pause_milliseconds(5); });
    check(event->record(stream).is_ok(), "record");
  }
  check(event->is_complete(), "the event of a finished stream is not complete");
  CpuStream other;
  check(event->wait(other).is_ok(), "wait for the event of a dead stream");
  drain(other);
}

class ForeignStream : public Stream {
 public:
  void enqueue(std::function<void()>) override {}
  void on_complete(std::function<void(Status)>) override {}
};

void test_foreign_stream() {
  ForeignStream stream;
  const auto event = make_event();
  check_status(event->record(stream), Code::kInvalidArgument, "stream", "record on another device's stream");
  check_status(event->wait(stream), Code::kInvalidArgument, "stream", "wait on another device's stream");
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless::test;
  start(argc, argv);
  test_order();
  test_many_producers();
  test_destruction_finishes_work();
  for (int i = 0; i < 50; ++i) test_last_reference_dropped_by_a_task();
  test_run_in_order();
  test_tasks_that_throw();
  test_events_order_streams();
  test_events_within_tasks();
  test_times();
  test_event_outlives_stream();
  test_foreign_stream();
  // A stream that is never destroyed must not keep the process from ending.
  static auto* leaked = new padless::CpuStream;
  drain(*leaked);
  return finish();
}
