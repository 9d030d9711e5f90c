// Memory, streams and events of the CUDA engine, with work that the emulator leaves queued until somebody
// waits.
#include "cuda/tests/engine_support.h"

namespace padless::cuda::test {
namespace {

constexpr size_t kBytes = 4096;

std::vector<float> values_of(float first) {
  std::vector<float> values(kBytes / sizeof(float));
  for (size_t i = 0; i < values.size(); i++) values[i] = first + static_cast<float>(i);
  return values;
}

void test_copies_arrive_with_completion() {
  const auto engine = open_engine();
  const auto stream = open_stream(*engine);
  const auto buffer = allocate(*engine, kBytes);
  const std::vector<float> sent = values_of(1);
  std::vector<float> source = sent, received(sent.size(), 0);
  check_ok(engine->copy_to_device(*stream, buffer->data(), source.data(), kBytes), "upload");
  source.assign(source.size(), -1);  // the caller may change it at once
  check_ok(engine->copy_to_host(*stream, received.data(), buffer->data(), kBytes), "download");
  check(received == std::vector<float>(sent.size(), 0), "nothing arrives before the device has worked");
  check_ok(completion(*stream), "completion");
  check(received == sent, "the copy has arrived with the completion");

  std::vector<float> again(sent.size(), 0);
  run_on(*stream, [&] {
    check_ok(engine->copy_to_host(*stream, again.data(), buffer->data(), kBytes), "download");
    check_ok(engine->wait(*stream), "wait");
    check(again == sent, "the copy has arrived when wait returns");
  });
  check_no_fault("copies");
}

void test_reuse_in_stream_order() {
  const auto engine = open_engine();
  const auto one = open_stream(*engine), other = open_stream(*engine);
  const std::vector<float> data = values_of(0);
  void* first = nullptr;
  run_on(*one, [&] {
    const auto buffer = allocate(*engine, kBytes);
    first = buffer->data();
    check_ok(engine->copy_to_device(*one, first, data.data(), kBytes), "upload");
  });
  check(emulator::queued_operations() > 0, "the emulator has not worked yet");
  run_on(*one, [&] {
    check(allocate(*engine, kBytes)->data() == first, "the stream itself gets the memory at once");
  });
  run_on(*other, [&] {
    check(allocate(*engine, kBytes)->data() != first, "another stream does not get memory in use");
  });
  check_ok(completion(*one), "completion");
  check_ok(completion(*other), "completion");
  run_on(*other, [&] {
    const auto a = allocate(*engine, kBytes), b = allocate(*engine, kBytes);
    check(a->data() == first || b->data() == first, "another stream gets it once the work is done");
  });
  check_no_fault("reuse");
}

void test_bytes_are_counted() {
  const auto engine = open_engine();
  const size_t before = engine->allocated_bytes();
  {
    const auto a = allocate(*engine, 1000), b = allocate(*engine, 0);
    check(engine->allocated_bytes() == before + 1000, "bytes in use are counted");
    check(a->data() != b->data() && b->data() != nullptr, "an empty buffer has an address");
  }
  check(engine->allocated_bytes() == before, "freed bytes are not counted");
  check(engine->peak_bytes() >= before + 1000, "the peak stays");
  engine->reset_peak_bytes();
  check(engine->peak_bytes() == before, "until its reset");
}

void test_out_of_memory() {
  const auto engine = open_engine();
  const size_t half = emulator::device_options().memory_bytes / 2;
  check_code(engine->allocate(4 * half).status(), Code::kOutOfMemory, "more than the device has");
  check_code(engine->allocate(SIZE_MAX).status(), Code::kOutOfMemory, "more than an address space has");
  allocate(*engine, half);  // goes back to the arena
  const auto most = allocate(*engine, half + half / 2);
  check(most != nullptr, "idle memory is given back for what needs it");
  check_code(engine->allocate(half).status(), Code::kOutOfMemory, "the rest is too small");
  check(!emulator::take_failure().empty(), "the emulator has noticed it, too");
  check(!engine->is_lost() && allocate(*engine, kBytes) != nullptr, "the engine still works");
}

void test_events_order_streams() {
  const auto engine = open_engine();
  const auto one = open_stream(*engine), other = open_stream(*engine);
  const auto buffer = allocate(*engine, kBytes);
  const std::vector<float> data = values_of(5);
  std::vector<float> received(data.size(), 0);
  auto event = engine->create_event().take(), end = engine->create_event().take();
  check(event->is_complete(), "an event that was not recorded is complete");
  check_code(event->milliseconds_since(*event).status(), Code::kInvalidArgument,
             "no time without a recording");
  run_on(*one, [&] {
    check_ok(engine->copy_to_device(*one, buffer->data(), data.data(), kBytes), "upload");
    check_ok(event->record(*one), "record");
  });
  check_ok(event->wait(*other), "wait");
  check_ok(engine->copy_to_host(*other, received.data(), buffer->data(), kBytes), "download");
  check_ok(end->record(*other), "record");
  check_ok(completion(*other), "completion");
  check(received == data, "the other stream has waited for the upload");
  check(event->is_complete() && end->is_complete(), "both events are complete");
  const Result<double> time = end->milliseconds_since(*event);
  check_ok(time.status(), "the time between");
  check(time.is_ok() && time.value() >= 0, "the time between is not negative");
  check_no_fault("events");
}

/** Without an event that says when a copy is over, its pinned block must not go to the next one before. */
void test_blocks_outlast_copies_without_events() {
  const auto engine = open_engine();
  const auto stream = open_stream(*engine);
  const auto first = allocate(*engine, kBytes), second = allocate(*engine, kBytes);
  const std::vector<float> one = values_of(1), two = values_of(2);
  std::vector<float> received(one.size(), 0), later(one.size(), 0);
  emulator::inject_failure("cudaEventCreate", cudaErrorMemoryAllocation);
  check_code(engine->copy_to_device(*stream, first->data(), one.data(), kBytes), Code::kOutOfMemory,
             "an upload without an event");
  check_ok(engine->copy_to_device(*stream, second->data(), two.data(), kBytes), "the next upload");
  check_ok(engine->copy_to_host(*stream, received.data(), first->data(), kBytes), "download");
  emulator::inject_failure("cudaEventCreate", cudaErrorMemoryAllocation);
  check_ok(completion(*stream), "a completion without an event waits instead");
  check(received == one, "the first upload kept its block");
  check_ok(engine->copy_to_host(*stream, later.data(), second->data(), kBytes), "download");
  check_ok(completion(*stream), "completion");
  check(received == one && later == two, "no copy is written by another's");
  check_no_fault("copies without events");
}

/** Everything is dropped while the device has not worked at all; only freed memory must not be touched. */
void test_disposal_while_work_is_queued() {
  const auto engine = open_engine();
  const std::vector<float> data = values_of(0);
  {
    auto stream = open_stream(*engine);
    auto event = engine->create_event().take();
    auto buffer = allocate(*engine, kBytes);
    check_ok(engine->copy_to_device(*stream, buffer->data(), data.data(), kBytes), "upload");
    check_ok(event->record(*stream), "record");
    buffer.reset();
    event.reset();
    Stream* const raw = stream.get();
    raw->enqueue([kept = std::move(stream)] {});  // the last reference goes on the stream's own thread
  }
  const auto stream = open_stream(*engine);
  check_ok(completion(*stream), "a later stream works");
  check_no_fault("disposal");
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_copies_arrive_with_completion();
  test::test_reuse_in_stream_order();
  test::test_bytes_are_counted();
  test::test_out_of_memory();
  test::test_events_order_streams();
  test::test_blocks_outlast_copies_without_events();
  test::test_disposal_while_work_is_queued();
  return test::report("engine_memory");
}
