// Which GPUs the CUDA engine refuses, what it says of bad arguments, and what it does after a failure.
#include <thread>

#include "cuda/tests/engine_support.h"
#include "lib/engine/cuda/devices.h"

namespace padless::cuda::test {
namespace {

void check_reason(const std::string& part) {
  const auto listing = list_cuda_devices();
  check(listing.size() == 1 && listing[0].name == "emulator:0" &&
            listing[0].reason.find(part) != std::string::npos,
        concat("the reason is \"", listing[0].reason, "\", expected: ", part));
  check_code(create_cuda_engine("emulator:0", {}).status(), Code::kDevice, part);
}

void test_reasons() {
  auto& device = emulator::device_options();
  const auto usable = device;
  device.present = false;
  check_reason("no CUDA driver");
  device = usable;
  device.driver_version = 11080;
  check_reason("supports CUDA 11.8, this build needs 13.0");
  device = usable;
  device.compute_capability = 75;
  check_reason("compute capability 7.5");
  device = usable;
  check(list_cuda_devices()[0].reason.empty(), "a usable device has no reason");
  check_code(create_cuda_engine("emulator:1", {}).status(), Code::kDevice, "a device that is not there");
  check_code(create_cuda_engine("emulator:x", {}).status(), Code::kDevice, "a name that is none");
}

class ForeignStream final : public Stream {
 public:
  void enqueue(std::function<void()> task) override { task(); }
  void on_complete(std::function<void(Status)> done) override { done(Status::ok()); }
};

/** Whatever device the calling thread used last. */
void test_properties_of_the_device() {
  std::thread([] { check_ok(device_properties(0).status(), "on a thread that has used none"); }).join();
  check_no_fault("properties");
}

void test_bad_arguments() {
  const auto engine = open_engine();
  const auto stream = open_stream(*engine);
  ForeignStream foreign;
  const auto buffer = allocate(*engine, 64);
  const Matrix matrix = {buffer->data(), DType::kF32, 2, 8, 8};
  check_code(engine->wait(foreign), Code::kInvalidArgument, "a stream of another device");
  check_code(engine->create_event().value()->record(foreign), Code::kInvalidArgument, "an event on it");
  RowProgram program;
  const Slot in = program.bound(0, 8);
  program.steps = {L2NormalizeStep{in, program.temporary(8)}};
  check_code(engine->run_rows(foreign, program, std::span(&matrix, 1), 2), Code::kInvalidArgument,
             "a program on it");
  check_code(engine->run_rows(*stream, program, std::span(&matrix, 1), 3), Code::kInvalidArgument,
             "more rows than the matrix has");
  check_code(engine->run_rows(*stream, program, {}, 2), Code::kInvalidArgument, "a matrix too few");
  program.steps = {L2NormalizeStep{program.temporary(8), in}};
  check_code(engine->run_rows(*stream, program, std::span(&matrix, 1), 2), Code::kInvalidArgument,
             "a slot that nothing has written");
  const int32_t outside[] = {2};
  check_code(engine->gather_rows(*stream, matrix, outside, matrix), Code::kInvalidArgument, "a row outside");
  check_code(engine->activation_dtype(ComputeType::kI8).status(), Code::kUnsupported, "int8");
  const bool is_hopper = engine->info().isa == "sm_90";
  check_code(engine->activation_dtype(ComputeType::kFp8).status(), is_hopper ? Code::kOk : Code::kUnsupported,
             "fp8");
  PackedBatch batch;
  const std::vector<int32_t> two = {1, 2}, sums = {0, 1};
  batch.ids = batch.positions = two;
  batch.cu_seqlens = sums;
  check_code(engine->prepare(*stream, batch, {1, 1, 64}).status(), Code::kInvalidArgument, "ids without end");
  const size_t bytes = emulator::device_bytes_in_use();
  for (const std::vector<int32_t>& wrong :
       {std::vector<int32_t>{0, INT32_MAX}, {0, INT32_MAX, INT32_MIN + 2}, {0, 3, 2}, {1, 2}}) {
    batch.cu_seqlens = wrong;
    check_code(engine->prepare(*stream, batch, {1, 1, 64}).status(), Code::kInvalidArgument,
               concat("prefix sums that end at ", wrong.back()));
  }
  check(emulator::device_bytes_in_use() == bytes, "no memory was asked for");
  check_ok(completion(*stream), "the stream still works");
  check_no_fault("bad arguments");
}

/** One refused call is that call's error, and no more. */
void test_transient_failure() {
  const auto engine = open_engine();
  const auto stream = open_stream(*engine);
  const auto buffer = allocate(*engine, 64);
  const Matrix matrix = {buffer->data(), DType::kF32, 2, 8, 8};
  RowProgram program;
  const Slot slot = program.bound(0, 8);
  program.steps = {L2NormalizeStep{slot, slot}};
  emulator::inject_failure("launch", cudaErrorLaunchFailure);
  const Status refused = engine->run_rows(*stream, program, std::span(&matrix, 1), 2);
  check_code(refused, Code::kDevice, "a launch that the runtime refuses");
  check(refused.message().find("emulator:0") != std::string::npos, "it names the device");
  check(!engine->is_lost(), "the device is not lost");
  check_ok(engine->run_rows(*stream, program, std::span(&matrix, 1), 2), "the next launch");
  check_ok(completion(*stream), "completion");
}

__global__ void failing_kernel(int) { KASSERT(false); }

void test_lost_device() {
  auto engine = open_engine();
  const auto sibling = open_engine();
  auto stream = open_stream(*engine);
  auto buffer = allocate(*engine, 64);
  const auto event = engine->create_event().take();
  run_on(*stream, [&] { check_ok(event->record(*stream), "record"); });
  check_ok(launch(failing_kernel, {.grid = 1, .block = 32}, 0), "a kernel that will fail");
  check(cudaDeviceSynchronize() != cudaSuccess, "it has failed");
  const Status first = completion(*stream);
  check_code(first, Code::kDevice, "the first to notice");
  check(first.message().find("KASSERT") != std::string::npos, "it says what failed: " + first.message());
  check(engine->is_lost() && sibling->is_lost(), "all engines of the device know");
  check(!emulator::take_failure().empty(), "the emulator has noticed it, too");
  const Status later = engine->allocate(64).status();
  check_code(later, Code::kDevice, "a later call");
  check(later.message().find("open the device") != std::string::npos, "it says the fix: " + later.message());
  check_code(completion(*stream), Code::kDevice, "a later completion");

  const auto again = open_engine();
  check(again != nullptr && !again->is_lost(), "the device opens again");
  if (again == nullptr) return;
  check(event->is_complete(), "nobody waits for an event of the lost device");
  check_code(event->milliseconds_since(*event).status(), Code::kDevice, "its time is lost");
  check_no_fault("an event that died with its device");
  const auto fresh = allocate(*again, 64);
  buffer.reset();  // what died with the device must not be freed in its successor
  stream.reset();
  engine.reset();
  const auto working = open_stream(*again);
  const std::vector<float> sent(16, 3.0f);
  std::vector<float> received(16);
  check_ok(again->copy_to_device(*working, fresh->data(), sent.data(), 64), "upload");
  check_ok(again->copy_to_host(*working, received.data(), fresh->data(), 64), "download");
  check_ok(completion(*working), "completion");
  check(received == sent, "the new engine works");
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_reasons();
  test::test_properties_of_the_device();
  test::test_bad_arguments();
  test::test_transient_failure();
  test::test_lost_device();
  return test::report("engine_errors");
}
