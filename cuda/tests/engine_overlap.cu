// What the products of sm_90a do before the kernel ahead of theirs has ended: they fetch the weight of as
// many stages as the first tile has and the ring holds, and no input.
#include "cuda/gemm/sm90/tiles.h"
#include "cuda/padless_linear_norm.h"
#include "cuda/tests/engine_support.h"
#include "lib/engine/cuda/stream.h"

namespace padless::cuda::test {
namespace {

constexpr int64_t kTokens = 70, kOutputs = 192;
constexpr int64_t kStageK = 64;  // of 16 bits

/** Early loads of the second of two kernels that may overlap, the first of which writes its input. */
template <class Second>
uint64_t early_loads_of(int64_t depth, Second second) {
  TestMatrix<bf16> source(kTokens, depth), in(kTokens, depth), weight(kOutputs, depth),
      out(kTokens, kOutputs);
  Random random(7);
  source.fill(random);
  weight.fill(random);
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "create stream");
  const LaunchStream overlapping{stream, true};
  emulator::statistics().early_loads = 0;
  check_ok(cast_rows({source.view(), in.view()}, overlapping), "first");
  check_ok(second(in.view(), weight.view(), out.view(), overlapping), "second");
  check_cuda(cudaStreamSynchronize(stream), "both");
  check_cuda(cudaStreamDestroy(stream), "destroy stream");
  out.download();
  double expected = 0;
  for (int64_t k = 0; k < depth; k++) expected += source.value(0, k) * weight.value(0, k);
  check(std::isfinite(out.value(0, 0)) && std::isfinite(expected), "a result");
  return emulator::statistics().early_loads;
}

uint64_t early_loads(int64_t depth, const GemmPlan& plan) {
  return early_loads_of(depth,
                        [&](const Matrix& in, const Matrix& weight, const Matrix& out, LaunchStream stream) {
                          LinearArgs args;
                          args.in = in;
                          args.weight = weight;
                          args.out = out;
                          return linear(args, plan, nullptr, stream);
                        });
}

int64_t divide_up(int64_t value, int64_t divisor) { return (value + divisor - 1) / divisor; }

// Quick: without the clusters of eight blocks, which are too many threads for a sanitizer's memory.
void test_early_weights(bool quick) {
  for (const int64_t depth : {kStageK - 8, 3 * kStageK, 20 * kStageK}) {
    const int64_t steps = divide_up(depth, kStageK);
    for (int tile = 0; tile < kPersistentTileCount; tile++) {
      const PersistentTile& shape = kPersistentTiles[tile];
      const int64_t blocks = shape.cluster() * divide_up(kTokens, shape.rows * shape.cluster()) *
                             divide_up(kOutputs, shape.cols);
      const auto expected = static_cast<uint64_t>(blocks * std::min<int64_t>(steps, shape.stages));
      const uint64_t early = early_loads(depth, {tile, 1, GemmKernel::kPersistent});
      check(early == expected,
            concat("persistent tile ", tile, ", ", steps, " steps: ", early, " of ", expected));
    }
    for (int tile = 0; tile < kSwappedTileCount; tile++) {
      const int64_t blocks = divide_up(kTokens, kSwappedTokens[tile]) * divide_up(kOutputs, kSwappedOutputs);
      const auto expected = static_cast<uint64_t>(blocks * std::min<int64_t>(steps, kSwappedStages));
      const uint64_t early = early_loads(depth, {tile, 1, GemmKernel::kSwapped});
      check(early == expected,
            concat("swapped tile ", tile, ", ", steps, " steps: ", early, " of ", expected));
    }
    for (int tile = 0; tile < (quick ? 2 : kNormTileCount); tile++) {
      const PersistentTile& shape = kNormTiles[tile];
      DeviceBuffer<float> gamma(std::vector<float>(kOutputs, 1.0f));
      const int64_t blocks = shape.cluster() * divide_up(kTokens, shape.rows * shape.row_blocks);
      const auto expected = static_cast<uint64_t>(blocks * std::min<int64_t>(steps, shape.stages));
      const uint64_t early = early_loads_of(
          depth, [&](const Matrix& in, const Matrix& weight, const Matrix& out, LaunchStream stream) {
            LinearNormArgs args;
            args.in = in;
            args.weight = weight;
            args.gamma = gamma.data();
            args.out = out;
            return linear_norm(args, {tile}, stream);
          });
      check(early == expected, concat("norm tile ", tile, ", ", steps, " steps: ", early, " of ", expected));
    }
  }
}

/** A kernel behind another stream's work must not start early: only the one ahead in its stream lets it. */
void test_waits_end_an_overlap() {
  const auto engine = open_engine({.overlap = true});
  const auto stream = open_stream(*engine), other = open_stream(*engine);
  const auto event = engine->create_event().take();
  auto& queue = *dynamic_cast<CudaStream&>(*stream).queue();
  check_ok(event->record(*other), "record");
  check_ok(event->wait(*stream), "wait");
  run_on(*stream, [&] {
    check(!queue.launches().overlaps, "the kernel after a wait comes after all of it");
    check(queue.launches().overlaps, "the next one overlaps again");
  });
  check_ok(completion(*stream), "completion");
  check_no_fault("waits");
}

}  // namespace
}  // namespace padless::cuda::test

int main(int argc, char**) {
  padless::cuda::test::test_early_weights(argc > 1);
  padless::cuda::test::test_waits_end_an_overlap();
  return padless::cuda::test::report("engine_overlap");
}
