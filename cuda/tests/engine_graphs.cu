// Forwards that are captured as graphs and replayed: the bits of those that are enqueued, whatever came
// before, whatever fails, and whoever goes first.
#include "cuda/tests/encoder_support.h"

namespace padless::cuda::test {
namespace {

EncoderSpec with_ropes() {
  EncoderSpec spec = small_spec();
  spec.positions.rows = spec.token_types = 0;
  spec.attention.kv_heads = 1;
  spec.norm = {.kind = NormKind::kRms, .placement = NormPlacement::kPre, .bias = false, .final = true};
  spec.mlp.glu = true;
  for (const double base : {1.0, 0.3}) {
    RopeSpec rope;
    rope.rotary_dim = 32;
    for (int i = 0; i < 16; i++) rope.frequencies.push_back(base / (1 + i));
    spec.ropes.push_back(rope);
  }
  spec.layers[0].rope = 0;
  spec.layers[1].rope = 1;
  spec.layers[1].span = {.window_left = 9, .window_right = 9};
  return spec;
}

EncoderSpec with_bias(BiasSpec::Kind kind) {
  EncoderSpec spec = small_spec();
  spec.bias.kind = kind;
  if (kind == BiasSpec::Kind::kAlibi) return spec.bias.slopes = {0.5f, 0.25f}, spec;
  spec.bias.reach = 7;
  spec.bias.table_rows = 15;
  for (int32_t row = 0; row < 15; row++) spec.bias.rows.push_back(row);
  spec.bias.c2p = spec.bias.p2c = spec.bias.shared_projections = true;
  return spec;
}

EncoderSpec in_f32() {
  EncoderSpec spec = small_spec();
  spec.compute = ComputeType::kF32;
  return spec;
}

EncoderSpec in_fp8() {
  EncoderSpec spec = small_spec();
  spec.compute = ComputeType::kFp8;
  return spec;
}

EncoderSpec with_convolution() {
  EncoderSpec spec = small_spec();
  spec.convolution.kernel = 3;
  return spec;
}

/** Batches of a few capacities, long ones before short ones and among them, with NaN, with empty sequences.
 */
std::vector<TestBatch> many_batches(int rounds) {
  Random random(3);
  std::vector<TestBatch> batches;
  const auto add = [&](const std::vector<int32_t>& lengths, bool nan = false) -> TestBatch& {
    return batches.emplace_back(make_batch(lengths, random, nan));
  };
  for (int round = 0; round < rounds; round++) {
    add({50, 46}, true);  // 96 tokens: all of the capacity's rows are NaN
    add({40, 41}).with_types();
    add({33, 33});
    add({70, 3}).with_types();  // other kernels
    add({66, 1});
    add({0, 65});
    add({16});
    add({1});
    add({11}).with_types();
    add({5, 0, 3, 2, 1, 1, 0, 4});
    add({1, 1, 1, 1, 1, 1, 1, 9}, true);
    add({2, 2, 1, 1, 1});
  }
  add({0, 0});
  add({});
  return batches;
}

void check_replayed_bits(const EncoderSpec& spec, const CudaEngineOptions& options, const std::string& name,
                         int rounds = 2, bool replays = true) {
  CudaEngineOptions plain = options;
  plain.graphs = plain.overlap = false;
  const auto engine = open_engine(options), reference = open_engine(plain);
  Session replaying(load_encoder(engine, spec)), enqueueing(load_encoder(reference, spec));
  int index = 0;
  for (const TestBatch& batch : many_batches(rounds)) {
    const Rows expected = forward(enqueueing, batch), actual = forward(replaying, batch);
    check(same_bits(expected, actual), concat(name, ": the bits of batch ", index));
    const bool nan = !batch.ids.empty() && batch.ids[0] == kNanId;
    check(std::ranges::none_of(actual, [](float x) { return std::isnan(x); }) || nan,
          concat(name, ": no NaN in batch ", index));
    index++;
  }
  const RecordingCounts counts = engine->recording_counts();
  check(replays ? counts.recorded >= 4 && counts.recorded < counts.replayed &&
                      2 * counts.replayed >= static_cast<size_t>(index - 2)
                : counts.replayed == 0,
        concat(name, ": ", counts.recorded, " recorded, ", counts.replayed, " replayed"));
  check(counts.refused == 0 && reference->recording_counts().recorded == 0, name + ": nothing refused");
  check_no_fault(name);
}

void test_bits(bool quick) {
  check_replayed_bits(small_spec(), {}, "bf16", quick ? 1 : 2);
  if (quick) return;
  check_replayed_bits(small_spec(), {.batch_invariant = true}, "batch invariant");
  check_replayed_bits(in_f32(), {}, "f32");
  check_replayed_bits(with_ropes(), {}, "ropes");
  check_replayed_bits(with_bias(BiasSpec::Kind::kAlibi), {}, "ALiBi");
  check_replayed_bits(with_bias(BiasSpec::Kind::kRelative), {}, "relative");
  check_replayed_bits(with_bias(BiasSpec::Kind::kDisentangled), {}, "disentangled");
  check_replayed_bits(with_convolution(), {}, "convolution", 2, false);
}

/** Kernels that overlap, enqueued, captured and replayed: the reference's do not. */
void test_overlap(bool quick) {
  check_replayed_bits(small_spec(), {.overlap = true}, "overlap", quick ? 1 : 2);
  check_replayed_bits(in_fp8(), {.overlap = true}, "overlap, fp8", quick ? 1 : 2);
  if (quick) return;
  check_replayed_bits(with_ropes(), {.overlap = true}, "overlap, ropes");
  check_replayed_bits(with_bias(BiasSpec::Kind::kDisentangled), {.overlap = true}, "overlap, disentangled");
}

/** Batch by batch, fewer layers have recordings of their own. */
void test_layers() {
  const auto engine = open_engine();
  Session session(load_encoder(engine, small_spec())), fresh(session.encoder);
  Random random(8);
  const TestBatch batch = make_batch({20, 9}, random);
  const Rows whole = forward(session, batch), first = forward(session, batch, 1);
  check(!same_bits(whole, first), "one layer is not two");
  for (int round = 0; round < 3; round++) {
    check(same_bits(forward(session, batch), whole), "two layers again");
    check(same_bits(forward(session, batch, 1), first), "one layer again");
  }
  check(engine->recording_counts().recorded == 2 && engine->recording_counts().replayed == 6,
        "two recordings");
  check(same_bits(forward(fresh, batch), whole), "bits do not depend on what a stream has seen");
}

/** A call of the runtime fails while a forward is recorded or replayed: it is enqueued instead. */
void test_failures(bool quick) {
  Random random(4);
  const TestBatch batch = make_batch({20, 11}, random);
  const char* const calls[] = {"cudaStreamBeginCapture", "launch", "cudaStreamEndCapture",
                               "cudaGraphInstantiate", "cudaGraphLaunch"};
  for (const std::string call : calls) {
    for (const cudaError_t error : {cudaErrorMemoryAllocation, cudaErrorNotSupported}) {
      if (quick && error == cudaErrorNotSupported) continue;
      const auto engine = open_engine();
      Session session(load_encoder(engine, small_spec()));
      const Rows expected = forward(session, batch);
      emulator::inject_failure(call, error);
      for (int round = 0; round < 3; round++)
        check(same_bits(forward(session, batch), expected), concat(call, ": the bits of round ", round));
      const RecordingCounts counts = engine->recording_counts();
      check(counts.refused == 1 && counts.replayed == 0, call + ": refused once, and not tried again");
      check(!engine->is_lost(), call + ": the device is not lost");
      const TestBatch other = make_batch({60}, random);
      const Rows once = forward(session, other);
      check(same_bits(forward(session, other), once) && engine->recording_counts().replayed == 1,
            call + ": other batches are replayed");
      emulator::take_failure();
    }
  }
}

/** Little memory is left: first the recording fails, then what is recorded goes, then there is an error. */
void test_out_of_memory() {
  Random random(6);
  const TestBatch small = make_batch({10}, random), large = make_batch({150, 150, 150, 150}, random);
  const auto engine = open_engine();
  Session session(load_encoder(engine, small_spec()));
  const Rows expected = forward(session, small);
  check(same_bits(forward(session, small), expected), "a replay");
  const size_t limit =
      std::exchange(emulator::device_options().memory_bytes, emulator::device_bytes_in_use());
  Rows rows;
  check_code(enqueue(session, large, rows, usual_request()), Code::kOutOfMemory, "a batch that does not fit");
  emulator::device_options().memory_bytes = limit;
  check(!emulator::take_failure().empty(), "the emulator has noticed it, too");
  check_ok(completion(*session.stream), "the stream still works");
  for (int round = 0; round < 3; round++)
    check(same_bits(forward(session, small), expected), concat("round ", round, " after it"));
  check(engine->recording_counts().recorded == 2, "what was recorded had gone, and was recorded again");
  check_no_fault("out of memory");
}

void test_memory_is_bounded() {
  Random random(7);
  const std::vector<TestBatch> batches{make_batch({10}, random), make_batch({30}, random),
                                       make_batch({60}, random)};
  const auto engine = open_engine();
  Session session(load_encoder(engine, small_spec()), 1);
  std::vector<Rows> expected;
  for (const TestBatch& batch : batches) expected.push_back(forward(session, batch));
  const size_t bytes = engine->allocated_bytes();
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < batches.size(); i++) {
      for (int again = 0; again < 3; again++)
        check(same_bits(forward(session, batches[i]), expected[i]), "the bits after others have gone");
    }
    check(engine->allocated_bytes() < bytes + 200'000, "one workspace at a time");
  }
  check(engine->recording_counts().recorded == 9, "each is recorded again");
  check_no_fault("bounded memory");
}

/** Two streams of one encoder at once: neither works in the other's memory. */
void test_two_streams() {
  const auto engine = open_engine();
  const auto encoder = load_encoder(engine, small_spec());
  Session one(encoder), other(encoder);
  Random random(9);
  const TestBatch a = make_batch({25, 30}, random), b = make_batch({41, 8}, random);
  const Rows of_a = forward(one, a), of_b = forward(one, b);
  for (int round = 0; round < 4; round++) {
    Rows first, second, third;
    check_ok(enqueue(one, a, first, usual_request()), "enqueued");
    check_ok(enqueue(other, b, second, usual_request()), "enqueued");
    check_ok(enqueue(one, b, third, usual_request()), "enqueued");
    check_ok(completion(*one.stream), "one");
    check_ok(completion(*other.stream), "other");
    check(same_bits(first, of_a) && same_bits(second, of_b) && same_bits(third, of_b),
          concat("two streams, round ", round));
  }
  check_no_fault("two streams");
}

/** The encoder, its stream and its recordings go while a replay is queued. */
void test_disposal_while_a_graph_is_queued() {
  const auto engine = open_engine();
  Random random(10);
  const TestBatch batch = make_batch({25, 30}, random);
  Rows rows, expected;
  {
    Session session(load_encoder(engine, small_spec()));
    forward(session, batch);
    expected = forward(session, batch);
    check_ok(enqueue(session, batch, rows, usual_request()), "a replay");
  }
  Session next(load_encoder(engine, small_spec()));
  check(same_bits(forward(next, batch), expected), "a later session works");
  check_no_fault("disposal");
}

void test_cancelled() {
  const auto engine = open_engine();
  Session session(load_encoder(engine, small_spec()));
  Random random(12);
  const TestBatch batch = make_batch({25}, random);
  const Rows expected = forward(session, batch);
  forward(session, batch);
  Rows rows;
  check_code(enqueue(session, batch, rows, usual_request(), true), Code::kAborted, "a cancelled forward");
  check(engine->recording_counts().replayed == 1, "it was not replayed");
  check(same_bits(forward(session, batch), expected), "the next one is");
}

void test_bad_arguments() {
  const auto engine = open_engine();
  const auto one = open_stream(*engine), other = open_stream(*engine);
  auto recording = engine->record(*one, [] { return Status::ok(); });
  check_ok(recording.status(), "an empty recording");
  check_code(engine->replay(*other, *recording.value()), Code::kInvalidArgument, "on another stream");
  check_ok(engine->replay(*one, *recording.value()), "on its own");
  const auto buffer = allocate(*engine, 64);
  float values[16] = {};
  for (const auto& op : std::vector<std::function<Status()>>{
           [&] { return engine->copy_to_device(*one, buffer->data(), values, 64); },
           [&] { return engine->copy_to_host(*one, values, buffer->data(), 64); },
           [&] { return engine->wait(*one); }}) {
    check_code(engine->record(*one, op).status(), Code::kUnsupported, "what cannot be recorded");
  }
  Random random(2);
  const TestBatch small = make_batch({3}, random), large = make_batch({20, 20}, random);
  const PackedBatch view = small.view();
  auto exact = engine->prepare(*one, view, {2, 2, 32}).take();
  check_code(engine->refill(*one, *exact, view, {}), Code::kInvalidArgument, "a batch without a capacity");
  auto roomy = engine->prepare(*one, view, {2, 2, 32}, {engine->capacity(view), {}}).take();
  check(roomy->rows() == 16, "the capacity of 3 tokens");
  check_code(engine->refill(*one, *roomy, large.view(), {}), Code::kInvalidArgument, "a batch too large");
  check_ok(completion(*one), "the stream still works");
  check_no_fault("bad arguments");
}

__global__ void failing_kernel(int) { KASSERT(false); }

void test_lost_device() {
  auto engine = open_engine();
  Random random(13);
  const TestBatch batch = make_batch({25}, random);
  {
    Session session(load_encoder(engine, small_spec()));
    forward(session, batch);
    forward(session, batch);
    check_ok(launch(failing_kernel, {.grid = 1, .block = 32}, 0), "a kernel that will fail");
    check(cudaDeviceSynchronize() != cudaSuccess, "it has failed");
    Rows rows;
    check_code(enqueue(session, batch, rows, usual_request()), Code::kDevice, "a forward on a lost device");
  }
  engine = open_engine();
  Session session(load_encoder(engine, small_spec()));
  const Rows expected = forward(session, batch);
  check(same_bits(forward(session, batch), expected), "the device replays again");
}

}  // namespace
}  // namespace padless::cuda::test

int main(int argc, char**) {
  using namespace padless::cuda;
  const bool quick = argc > 1;
  test::test_bits(quick);
  test::test_overlap(quick);
  test::test_layers();
  test::test_failures(quick);
  test::test_out_of_memory();
  test::test_memory_is_bounded();
  test::test_two_streams();
  test::test_disposal_while_a_graph_is_queued();
  test::test_cancelled();
  test::test_bad_arguments();
  test::test_lost_device();
  return test::report("engine_graphs");
}
