// Kernels with one injected fault each: emulator_faults NAME exits 0 when nothing is noticed, 1 when the
// result is wrong or the emulator reports a failure under some seed; the sanitizers exit in their own way.
// cuda/emulator/faults.sh holds the table of who must notice what.
#include <cstring>

#include "cuda/emulator/emulator.h"
#include "cuda/tests/fault_kernels.cuh"
#include "cuda/tests/support.h"

namespace padless::cuda::test {
namespace {

constexpr int kSeeds = 5;

// Whether the sums of every block are right; memory outside the block's rows is NaN for it.
template <Fault kFault>
bool sums_are_right() {
  const std::vector<int> rows = {70, 33, 1, 50};
  std::vector<int> first = {0};
  for (int count : rows) first.push_back(first.back() + count);
  Random random;
  const auto values = random.vector<float>(static_cast<size_t>(first.back()) * kColumns);
  for (size_t block = 0; block < rows.size(); block++) {
    auto isolated = values;
    for (size_t i = 0; i < isolated.size(); i++) {
      const int row = static_cast<int>(i / kColumns);
      if (row < first[block] || row >= first[block + 1]) isolated[i] = NAN;
    }
    DeviceBuffer<float> device(isolated), out(rows.size() * 2 * kColumns);
    DeviceBuffer<int> device_first(first);
    if (!launch(sum_rows<kFault>, {.grid = 4, .block = 128, .shared_bytes = sizeof(SumStorage)},
                device.data(), device_first.data(), out.data())
             .is_ok()) {
      return false;
    }
    if (cudaDeviceSynchronize() != cudaSuccess) return false;
    const auto sums = out.download();
    for (int column = 0; column < kColumns; column++) {
      double expected = 0, got = 0;
      for (int row = first[block]; row < first[block + 1]; row++) {
        expected += double{values[static_cast<size_t>(row * kColumns + column)]};
      }
      for (size_t half = 0; half < 2; half++)
        got += double{sums[(block * 2 + half) * kColumns + static_cast<size_t>(column)]};
      if (!(std::fabs(expected - got) < 1e-4)) return false;
    }
  }
  return true;
}

template <Fault kFault>
bool product_is_right() {
  constexpr int kM = 64, kN = 64, kK = 64 * 7;
  Random random;
  const auto a = random.vector<bf16>(kM * kK), b = random.vector<bf16>(kN * kK);
  DeviceBuffer<bf16> device_a(a), device_b(b), device_c(kM * kN);
  ptx::TensorMap map_a, map_b, map_c;
  check_ok(
      ptx::make_tensor_map(map_a, device_a.data(), {2, {kK, kM}, {kK * 2}, {64, 64}, ptx::Swizzle::b128}),
      "a");
  check_ok(
      ptx::make_tensor_map(map_b, device_b.data(), {2, {kK, kN}, {kK * 2}, {64, 64}, ptx::Swizzle::b128}),
      "b");
  check_ok(
      ptx::make_tensor_map(map_c, device_c.data(), {2, {kN, kM}, {kN * 2}, {64, 64}, ptx::Swizzle::b128}),
      "c");
  const Status launched =
      launch(multiply_pipelined<kFault>, {.grid = 1, .block = 256, .shared_bytes = sizeof(PipelineStorage)},
             map_a, map_b, map_c, kK / 64);
  if (!launched.is_ok() || cudaDeviceSynchronize() != cudaSuccess) return false;
  const auto c = device_c.download();
  for (int i = 0; i < kM; i++) {
    for (int j = 0; j < kN; j++) {
      double expected = 0;
      for (int k = 0; k < kK; k++) {
        expected += double{static_cast<float>(a[i * kK + k])} * double{static_cast<float>(b[j * kK + k])};
      }
      const double got = double{static_cast<float>(c[i * kN + j])};
      if (!(std::fabs(expected - got) <= 4.1e-3 * (1 + std::fabs(expected)))) return false;
    }
  }
  return true;
}

/** Two kernels that may overlap, the second of which has the fault. */
template <Fault kFault>
bool stream_is_in_order() {
  constexpr int kCount = 4 * 64;
  std::vector<float> values(kCount);
  for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<float>(i + 1);
  DeviceBuffer<float> a(values), b(std::vector<float>(kCount, NAN));
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "create stream");
  LaunchConfig config{.grid = 4, .block = 64, .stream = {stream, true}};
  check_ok(launch(double_reversed<Fault::none>, config, a.data(), b.data(), kCount), "first");
  config.grid = 5;
  check_ok(launch(double_reversed<kFault>, config, b.data(), a.data(), kCount), "second");
  const bool ran = cudaStreamSynchronize(stream) == cudaSuccess;
  const auto results = a.download();
  for (size_t i = 0; i < values.size(); i++) {
    if (!ran || results[i] != 4 * values[i]) return false;
  }
  return cudaStreamDestroy(stream) == cudaSuccess;
}

template <Fault kFault>
bool exchange_is_right() {
  constexpr int kRounds = 9;
  std::vector<float> values(kRounds * kExchangers);
  for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<float>(i * i);
  DeviceBuffer<float> in(values), out(values.size());
  const LaunchConfig config{.grid = kExchangers,
                            .block = 32,
                            .shared_bytes = sizeof(ExchangeStorage),
                            .cluster = {kExchangers, 1, 1}};
  if (!launch(exchange_sums<kFault>, config, in.data(), out.data(), kRounds).is_ok()) return false;
  if (cudaDeviceSynchronize() != cudaSuccess) return false;
  const auto sums = out.download();
  for (size_t i = 0; i < sums.size(); i++) {
    float expected = 0;
    for (size_t block = 0; block < kExchangers; block++)
      expected += values[i / kExchangers * kExchangers + block];
    if (sums[i] != expected) return false;
  }
  return true;
}

template <Fault kFault>
bool is_right() {
  if constexpr (kFault >= Fault::no_first_meeting) {
    return exchange_is_right<kFault>();
  } else if constexpr (kFault >= Fault::no_grid_wait) {
    return stream_is_in_order<kFault>();
  } else if constexpr (kFault >= Fault::wrong_transaction_bytes) {
    return product_is_right<kFault>();
  } else if constexpr (kFault == Fault::none) {
    return sums_are_right<kFault>() && product_is_right<kFault>() && stream_is_in_order<kFault>() &&
           exchange_is_right<kFault>();
  } else {
    return sums_are_right<kFault>();
  }
}

template <Fault kFault>
bool is_noticed() {
  emulator::Options& options = emulator::options();
  for (int seed = 1; seed <= (options.schedule == emulator::Schedule::fifo ? 1 : kSeeds); seed++) {
    options.seed = static_cast<uint64_t>(seed);
    if (is_right<kFault>()) continue;
    const std::string failure = emulator::take_failure();
    std::printf("noticed with seed %d: %s\n", seed,
                failure.empty() ? "the result is wrong" : failure.c_str());
    return true;
  }
  std::printf("not noticed\n");
  return false;
}

}  // namespace
}  // namespace padless::cuda::test

int main(int count, char** arguments) {
  using namespace padless::cuda::test;
  const std::string name = count > 1 ? arguments[1] : "none";
#define PADLESS_FAULT(fault) \
  if (name == #fault) return is_noticed<Fault::fault>() ? 1 : 0;
  PADLESS_FAULTS(PADLESS_FAULT)
#undef PADLESS_FAULT
  std::printf("unknown fault %s\n", name.c_str());
  return 2;
}
