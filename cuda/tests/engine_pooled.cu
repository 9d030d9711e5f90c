// What forwards make of whole sequences, inside the recorded graphs: the bits of what is enqueued, and no
// launch beside the graph's.
#include "cuda/tests/encoder_support.h"

namespace padless::cuda::test {
namespace {

constexpr int64_t kWidth = 64;

/** Two pooling modes, a dense layer and a norm behind them, a pooler, and logits of the first token. */
EncoderSpec spec_with_heads() {
  EncoderSpec spec = small_spec();
  spec.pooler = true;
  spec.pooling = {PoolMode::kMean, PoolMode::kMax};
  spec.head.resize(2);
  spec.head[0] = {HeadStep::Kind::kDense, "dense", 2 * kHidden, kWidth, Activation::kTanh};
  LogitsSpec logits;
  logits.source = LogitsSpec::Source::kPooled;
  LogitsStep& dense = logits.steps.emplace_back();
  dense.weights = "logits";
  dense.in_features = dense.out_features = kHidden;
  spec.logits = logits;
  return spec;
}

struct Case {
  const char* name;
  bool pooler, embedding, logits;
  std::vector<PoolMode> pooling = {};
  int64_t dimensions = 0;
  bool normalize = false;

  ForwardRequest request() const {
    ForwardRequest request;
    request.layers = 2;
    request.pooler_output = pooler;
    request.sentence_embedding = embedding;
    request.logits = logits;
    request.pooling = pooling;
    request.dimensions = dimensions;
    request.normalize = normalize;
    return request;
  }
};

const std::vector<Case> kCases{
    {.name = "nothing", .pooler = false, .embedding = false, .logits = false},
    {.name = "pooler", .pooler = true, .embedding = false, .logits = false},
    {.name = "logits", .pooler = false, .embedding = false, .logits = true},
    {.name = "embedding", .pooler = false, .embedding = true, .logits = false},
    {.name = "all", .pooler = true, .embedding = true, .logits = true, .normalize = true},
    {.name = "truncated",
     .pooler = false,
     .embedding = true,
     .logits = false,
     .dimensions = 24,
     .normalize = true},
    {.name = "truncated further", .pooler = false, .embedding = true, .logits = false, .dimensions = 8},
    {.name = "other modes",
     .pooler = false,
     .embedding = true,
     .logits = false,
     .pooling = {PoolMode::kLastToken, PoolMode::kWeightedMean, PoolMode::kCls},
     .normalize = true},
};

/** Of one capacity and one list of kernels: 5 to 8 sequences, 33 to 48 tokens. */
std::vector<TestBatch> batches() {
  Random random(21);
  std::vector<TestBatch> list;
  for (const std::vector<int32_t>& lengths : std::vector<std::vector<int32_t>>{
           {9, 1, 4, 7, 8, 3, 5, 6}, {12, 0, 9, 11, 7}, {20, 1, 0, 1, 15, 0}, {0, 0, 30, 3, 5, 0, 0, 0}}) {
    list.push_back(make_batch(lengths, random));
  }
  return list;
}

/** Batches in turn, so that each graph runs over what another batch has left. */
void test_bits(const CudaEngineOptions& options, const char* name) {
  CudaEngineOptions plain = options;
  plain.graphs = plain.overlap = false;
  const auto engine = open_engine(options);
  Session replaying(load_encoder(engine, spec_with_heads()));
  Session enqueueing(load_encoder(open_engine(plain), spec_with_heads()));
  const std::vector<TestBatch> all = batches();
  for (size_t b = 0; b < all.size(); b++) {
    for (const Case& each : kCases) {
      const Rows expected = forward(enqueueing, all[b], each.request());
      const Rows actual = forward(replaying, all[b], each.request());
      check(same_bits(expected, actual), concat(name, ": ", each.name, " of batch ", b));
      check(std::ranges::none_of(actual, [](float x) { return std::isnan(x); }), "no NaN");
    }
  }
  const RecordingCounts counts = engine->recording_counts();
  check(counts.recorded == kCases.size() && counts.refused == 0,
        concat(name, ": ", counts.recorded, " graphs for ", kCases.size(), " requests"));
  check(counts.replayed == (all.size() - 1) * kCases.size(), concat(name, ": all later ones replayed"));
  check_no_fault(name);
}

__global__ void nothing_kernel(int) {}

/** The next launch would fail: a replay makes none. */
void test_no_launch_beside_the_graph() {
  const auto engine = open_engine();
  Session session(load_encoder(engine, spec_with_heads()));
  const TestBatch batch = batches().front();
  for (const Case& each : {kCases[4], kCases[5]}) {
    const Rows expected = forward(session, batch, each.request());
    forward(session, batch, each.request());
    emulator::inject_failure("launch", cudaErrorMemoryAllocation);
    check(same_bits(forward(session, batch, each.request()), expected), concat("a replay: ", each.name));
    check_code(launch(nothing_kernel, {.grid = 1, .block = 32}, 0), Code::kOutOfMemory,
               concat(each.name, ": the failure is still to come"));
  }
  emulator::take_failure();
}

/** Tokens to skip come with the call: pooled behind the graph. */
void test_skipped_tokens() {
  const auto engine = open_engine();
  Session session(load_encoder(engine, spec_with_heads()));
  Random random(5);
  const TestBatch batch = make_batch({6, 4, 5}, random);
  const std::vector<int32_t> some{2, 0, 9}, none{0, 0, 0};
  ForwardRequest request = kCases[3].request();
  const Rows whole = forward(session, batch, request);
  request.skip = some;
  const Rows skipped = forward(session, batch, request);
  check(!same_bits(whole, skipped), "skipped tokens count for something");
  for (int round = 0; round < 2; round++) {
    check(same_bits(forward(session, batch, request), skipped), "skipped again");
    request.skip = none;
    check(same_bits(forward(session, batch, request), whole), "none skipped");
    request.skip = some;
  }
  check(engine->recording_counts().recorded == 1 && engine->recording_counts().replayed == 4,
        "layers replay");
  check_no_fault("skipped tokens");
}

/** More kinds of requests than a workspace keeps recordings of. */
void test_many_kinds() {
  const auto engine = open_engine();
  Session session(load_encoder(engine, spec_with_heads()));
  Random random(6);
  const TestBatch batch = make_batch({3, 2}, random);
  ForwardRequest request = kCases[3].request();
  const Rows whole = forward(session, batch, request);
  size_t bytes = 0;
  for (int64_t dimensions = 1; dimensions <= 40; dimensions++) {
    request.dimensions = dimensions;
    const Rows rows = forward(session, batch, request);
    check(std::equal(rows.begin(), rows.begin() + dimensions, whole.begin()), concat(dimensions, " columns"));
    if (dimensions == 20) bytes = engine->allocated_bytes();
  }
  check(engine->allocated_bytes() < bytes + 20'000, "others make room");
  check_no_fault("many kinds");
}

}  // namespace
}  // namespace padless::cuda::test

int main(int argc, char**) {
  using namespace padless::cuda;
  test::test_bits({}, "graphs");
  if (argc == 1) test::test_bits({.overlap = true}, "overlap");
  test::test_no_launch_beside_the_graph();
  test::test_skipped_tokens();
  test::test_many_kinds();
  return test::report("engine_pooled");
}
