// varlen_attention against fp64: lengths, head dims, masks, strategies, and the known traps.
#include "cuda/tests/attention_problem.h"

namespace padless::cuda::test {
namespace {

template <class T>
void test_head_dims(std::span<const int> head_dims) {
  for (int64_t head_dim : head_dims) {
    run_case<T>(
        {.lengths = {65, 0, 1, 17, 130}, .head_dim = head_dim, .heads = 1, .kv_heads = 1, .twice = true});
    run_case<T>({.lengths = {33, 64, 65, 128, 140, 256},
                 .head_dim = head_dim,
                 .heads = 1,
                 .kv_heads = 1,
                 .options = kGrouped,
                 .twice = true});
  }
}

void test_lengths() {
  for (const AttentionPlanOptions& options : {kSingle, kGrouped, kPersistent}) {
    run_case<bf16>(
        {.lengths = {1, 15, 16, 17, 63, 64, 65, 127, 128, 129}, .head_dim = 32, .options = options});
    run_case<bf16>({.lengths = {}, .options = options});
    run_case<bf16>({.lengths = {0, 0}, .options = options});
    run_case<bf16>({.lengths = {1, 1, 1, 0, 1}, .head_dim = 32, .options = options});
    run_case<bf16>({.lengths = {0, 257, 0, 3}, .heads = 1, .kv_heads = 1, .options = options});
  }
  run_case<bf16>({.lengths = {20, 70}, .options = {.strategy = AttentionStrategy::kAuto}});
  run_case<bf16>({.lengths = {20, 70},
                  .options = {.strategy = AttentionStrategy::kGrouped, .bucket_edges = {}, .streams = 1}});
}

void test_spans() {
  for (const AttentionPlanOptions& options : {kSingle, kGrouped}) {
    for (const AttentionSpan& span :
         {AttentionSpan{.causal = true}, AttentionSpan{.window_left = 8, .window_right = 8},
          AttentionSpan{.window_left = 0, .window_right = 0},
          AttentionSpan{.causal = true, .window_left = 70}, AttentionSpan{.window_right = 3}}) {
      run_case<bf16>({.lengths = {50, 128, 201},
                      .head_dim = 32,
                      .heads = 1,
                      .kv_heads = 1,
                      .span = span,
                      .options = options});
    }
    run_case<bf16>({.lengths = {50, 110}, .heads = 4, .kv_heads = 2, .options = options});
  }
}

// Tokens that are no keys, in every kernel: some tiles of queries begin behind the last key.
void test_key_counts() {
  for (int compute_capability : {80, 90}) {
    for (const AttentionPlanOptions& options : {kSingle, kGrouped, kPersistent, kAuto}) {
      // A window of 8: queries behind the last key may see none.
      for (const AttentionSpan& span :
           {AttentionSpan{}, AttentionSpan{.window_left = 8, .window_right = 8}}) {
        run_case<bf16>({.lengths = {32, 7, 130, 300, 1},
                        .heads = 1,
                        .kv_heads = 1,
                        .span = span,
                        .options = options,
                        .compute_capability = compute_capability,
                        .key_counts = {20, 7, 60, 1, 1}});
      }
    }
  }
  run_case<bf16>({.lengths = {32, 130}, .head_dim = 40, .simt = true, .key_counts = {20, 60}});
}

// Groups go to their streams, also where launches overlap, and the stream of the call comes after all of
// them.
void test_fork() {
  const std::vector<int32_t> sums{0, 40, 140, 440};
  constexpr int64_t kTokens = 440, kWidth = 64;
  const AttentionShape shape{1, 1, kWidth};
  DeviceProperties device = device_properties(0).take();
  TestMatrix<bf16> qkv(kTokens, 3 * kWidth), expected(kTokens, kWidth), out(kTokens, kWidth);
  Random random(11);
  qkv.fill(random);
  const AttentionPlan plan = plan_attention(sums, shape, {}, device, kGrouped).take();
  check(plan.groups.size() == 3 && plan.streams == 3, "three groups on three streams");
  DeviceBuffer<int32_t> device_sums(sums);
  DeviceBuffer<AttentionTile> tiles(plan.tiles);
  auto streams = AttentionStreams::create(plan.streams).take();
  cudaStream_t main = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&main, cudaStreamNonBlocking), "create stream");
  VarlenAttentionArgs args;
  args.shape = shape;
  args.q = qkv.view().columns(0, kWidth);
  args.k = qkv.view().columns(kWidth, kWidth);
  args.v = qkv.view().columns(2 * kWidth, kWidth);
  args.cu_seqlens = device_sums.data();
  args.scale = 0.125f;
  const auto run = [&](TestMatrix<bf16>& result, AttentionStreams* sides, bool overlaps) {
    args.out = result.view();
    check_ok(varlen_attention(args, plan, {tiles.data(), nullptr, sides}, {main, overlaps}), "attention");
    // The emulator's streams wait to be asked; a GPU may be through already.
    for (int side = 1; PADLESS_EMULATED && side < plan.streams && sides != nullptr; side++) {
      check(cudaStreamQuery(sides->stream(main, side)) == cudaErrorNotReady, concat("work on stream ", side));
    }
    check_cuda(cudaStreamSynchronize(main), "all groups");
    result.download();
  };
  run(expected, nullptr, false);
  for (const bool overlaps : {false, true}) {
    if (overlaps && !device.can_overlap) continue;
    run(out, &streams, overlaps);
    bool same = true;
    for (int64_t t = 0; t < kTokens; t++) {
      for (int64_t i = 0; i < kWidth; i++) same &= out.value(t, i) == expected.value(t, i);
    }
    check(same, concat("one stream or three", overlaps ? ", overlapping" : ""));
  }
  check_cuda(cudaStreamDestroy(main), "destroy stream");
}

// One NaN sequence must not poison its neighbours, nor rows of a capacity above T, nor may a tile's store
// reach them.
void test_isolation() {
  for (const AttentionPlanOptions& options : {kSingle, kGrouped, kPersistent}) {
    run_case<bf16>({.lengths = {37, 20, 70}, .options = options, .nan_sequence = 1});
    run_case<bf16>({.lengths = {37, 70}, .options = options, .spare_rows = 80});
    run_case<bf16>({.lengths = {37, 70}, .options = options, .spare_rows = 80, .outside = 1000});
  }
  run_case<bf16>({.lengths = {37, 70}, .position_keys = true, .spare_rows = 80, .outside = 1000});
  run_case<bf16>({.lengths = {37, 70}, .out_gap = 3});  // misaligned output rows
}

void test_bad_input() {
  const std::vector<int32_t> good{0, 4}, falling{0, 4, 3}, late{1, 4};
  const DeviceProperties device{};
  const auto expect = [&](Code code, const char* what, const std::vector<int32_t>& sums, AttentionShape shape,
                          AttentionPlanOptions options = {}) {
    check_code(plan_attention(sums, shape, {}, device, options).status(), code, what);
  };
  expect(Code::kOk, "good", good, {2, 1, 64});
  expect(Code::kInvalidArgument, "falling", falling, {2, 1, 64});
  expect(Code::kInvalidArgument, "late start", late, {2, 1, 64});
  expect(Code::kInvalidArgument, "empty", {}, {2, 1, 64});
  expect(Code::kInvalidArgument, "heads", good, {3, 2, 64});
  expect(Code::kUnsupported, "head dim", good, {2, 1, 257});
  expect(Code::kInvalidArgument, "streams", good, {2, 1, 64}, {.streams = 0});
  TestMatrix<bf16> q(4, 64);
  VarlenAttentionArgs args;
  args.shape = {1, 1, 64};
  args.q = args.k = args.v = args.out = q.view();
  check_code(varlen_attention(args, plan_attention(good, args.shape, {}, device).take(), {}, nullptr),
             Code::kInvalidArgument, "no tiles");
  VarlenAttentionArgs narrow = args;
  narrow.shape.head_dim = narrow.q.cols = narrow.k.cols = narrow.v.cols = narrow.out.cols = 48;
  check_code(varlen_attention(narrow, {}, {}, nullptr), Code::kUnsupported,
             "a head dim without tensor cores");
  args.k.dtype = DType::kF16;
  check_code(varlen_attention(args, {}, {}, nullptr), Code::kInvalidArgument, "dtype of k");
  args.k = args.q;
  args.k.stride = 65;
  check_code(varlen_attention(args, {}, {}, nullptr), Code::kInvalidArgument, "misaligned k");
}

}  // namespace
}  // namespace padless::cuda::test

int main(int argc, char**) {
  using namespace padless::cuda;
  const std::span<const int> head_dims = kAttentionHeadDims;
  test::test_head_dims<bf16>(head_dims);
  test::test_head_dims<fp16>(argc > 1 ? head_dims.last(1) : head_dims);
  test::test_lengths();
  test::test_spans();
  test::test_key_counts();
  test::test_fork();
  test::test_isolation();
  test::test_bad_input();
  return test::report("kernel_attention");
}
