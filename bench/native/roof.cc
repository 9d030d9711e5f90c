#include "bench/native/roof.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "lib/core/thread_pool.h"

namespace padless::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kChains = 12;

struct RoofLoop {
  void (*run)(long rounds) = nullptr;
  double operations_a_round = 0;
};

#if defined(__x86_64__)

// Twelve independent sums: more than latency times throughput of any of these instructions.
#define PADLESS_TWELVE(op, type)                                                                     \
  op " %%" type "14, %%" type "15, %%" type "0\n" op " %%" type "14, %%" type "15, %%" type "1\n" op \
     " %%" type "14, %%" type "15, %%" type "2\n" op " %%" type "14, %%" type "15, %%" type "3\n" op \
     " %%" type "14, %%" type "15, %%" type "4\n" op " %%" type "14, %%" type "15, %%" type "5\n" op \
     " %%" type "14, %%" type "15, %%" type "6\n" op " %%" type "14, %%" type "15, %%" type "7\n" op \
     " %%" type "14, %%" type "15, %%" type "8\n" op " %%" type "14, %%" type "15, %%" type "9\n" op \
     " %%" type "14, %%" type "15, %%" type "10\n" op " %%" type "14, %%" type "15, %%" type "11\n"

#define PADLESS_ROOF_LOOP(name, op, type)                                                                \
  void name(long rounds) {                                                                               \
    asm volatile(                                                                                        \
        "vpxor %%xmm14, %%xmm14, %%xmm14\nvpxor %%xmm15, %%xmm15, %%xmm15\n"                             \
        "vpxor %%xmm0, %%xmm0, %%xmm0\nvpxor %%xmm1, %%xmm1, %%xmm1\nvpxor %%xmm2, %%xmm2, %%xmm2\n"     \
        "vpxor %%xmm3, %%xmm3, %%xmm3\nvpxor %%xmm4, %%xmm4, %%xmm4\nvpxor %%xmm5, %%xmm5, %%xmm5\n"     \
        "vpxor %%xmm6, %%xmm6, %%xmm6\nvpxor %%xmm7, %%xmm7, %%xmm7\nvpxor %%xmm8, %%xmm8, %%xmm8\n"     \
        "vpxor %%xmm9, %%xmm9, %%xmm9\nvpxor %%xmm10, %%xmm10, %%xmm10\n"                                \
        "vpxor %%xmm11, %%xmm11, %%xmm11\n"                                                              \
        "1:\n" PADLESS_TWELVE(op, type) "sub $1, %0\njnz 1b\n"                                           \
        : "+r"(rounds)                                                                                   \
        :                                                                                                \
        : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
          "xmm11", "xmm14", "xmm15");                                                                    \
  }

PADLESS_ROOF_LOOP(fma_256, "vfmadd231ps", "ymm")
PADLESS_ROOF_LOOP(fma_512, "vfmadd231ps", "zmm")
PADLESS_ROOF_LOOP(bf16_512, "vdpbf16ps", "zmm")
PADLESS_ROOF_LOOP(u8s8_512, "vpdpbusd", "zmm")

RoofLoop choose_loop(const CpuIsa& isa, ComputeType compute) {
  if (isa.level >= IsaLevel::kAvx512) {
    if (compute == ComputeType::kI8 && isa.avx512_vnni) return {u8s8_512, kChains * 128.0};
    if (compute == ComputeType::kBF16 && isa.avx512_bf16) return {bf16_512, kChains * 64.0};
    return {fma_512, kChains * 32.0};
  }
  if (isa.level >= IsaLevel::kAvx2) return {fma_256, kChains * 16.0};
  return {};
}

#else

RoofLoop choose_loop(const CpuIsa&, ComputeType) { return {}; }

#endif

/** Seconds from the first start to the last end of work(index) on `threads` threads that start together. */
double seconds_together(int threads, const std::function<void(int)>& work) {
  std::vector<Clock::time_point> begin(static_cast<size_t>(threads)), end(static_cast<size_t>(threads));
  SpinBarrier together;
  ThreadPool::shared().run(threads, [&](int index, int count) {
    together.wait(count);
    begin[static_cast<size_t>(index)] = Clock::now();
    work(index);
    end[static_cast<size_t>(index)] = Clock::now();
  });
  const std::chrono::duration<double> time =
      *std::max_element(end.begin(), end.end()) - *std::min_element(begin.begin(), begin.end());
  return time.count();
}

constexpr size_t kSweepWords = size_t{128} << 17;  // 128 MiB

/** The sum keeps the compiler from dropping the loads; four of them keep the adds out of the way. */
uint64_t read_words(const uint64_t* words, size_t count) {
  uint64_t sums[4] = {};
  for (size_t i = 0; i + 4 <= count; i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) sums[lane] += words[i + lane];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace

double measure_roof(const CpuIsa& isa, ComputeType compute, int threads, double milliseconds) {
  const RoofLoop loop = choose_loop(isa, compute);
  if (!loop.run) return 0;
  const long rounds = static_cast<long>(milliseconds * 1e-3 * 3.5e9 / kChains);
  const double time = seconds_together(threads, [&](int) { loop.run(rounds); });
  return loop.operations_a_round * static_cast<double>(rounds) * threads / time;
}

double measure_read_bandwidth(int threads, double milliseconds) {
  static const std::vector<uint64_t> words(kSweepWords, 1);
  const size_t part = kSweepWords / static_cast<size_t>(threads);
  std::vector<uint64_t> sums(static_cast<size_t>(threads));
  const auto sweep = [&](int index) {
    sums[static_cast<size_t>(index)] += read_words(words.data() + part * static_cast<size_t>(index), part);
  };
  const double once = seconds_together(threads, sweep);
  const int sweeps = std::max(1, static_cast<int>(milliseconds * 1e-3 / once));
  const double time = seconds_together(threads, [&](int index) {
    for (int i = 0; i < sweeps; ++i) sweep(index);
  });
  // Never false: the reads must have a use.
  if (sums[0] == 0) return 0;
  return static_cast<double>(part * sizeof(uint64_t)) * threads * sweeps / time;
}

}  // namespace padless::bench
