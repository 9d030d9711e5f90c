#include "bench/native/roof.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "lib/core/thread_pool.h"
#include "lib/engine/cpu/weight_memory.h"

namespace padless::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct RoofLoop {
  const char* instruction = "none";
  void (*run)(long rounds) = nullptr;
  double operations_a_round = 0;
  double cycles_a_round = 1;  // about
};

#if defined(__x86_64__)

/** Memory operand of LDTILECFG: eight tiles of 16 rows of 64 bytes. */
struct alignas(64) TileShapes {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

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
PADLESS_ROOF_LOOP(u8s8_256, "%{vex%} vpdpbusd", "ymm")
PADLESS_ROOF_LOOP(u8s8_512, "vpdpbusd", "zmm")

// Four independent sums, as many as the products of two tiles by two have.
#define PADLESS_TILE_LOOP(name, op)                                                                 \
  void name(long rounds) {                                                                          \
    const TileShapes shapes;                                                                        \
    asm volatile(                                                                                   \
        "ldtilecfg %1\n"                                                                            \
        "tilezero %%tmm0\ntilezero %%tmm1\ntilezero %%tmm2\ntilezero %%tmm3\n"                      \
        "tilezero %%tmm4\ntilezero %%tmm5\ntilezero %%tmm6\ntilezero %%tmm7\n"                      \
        "1:\n" op " %%tmm6, %%tmm4, %%tmm0\n" op " %%tmm7, %%tmm4, %%tmm1\n" op                     \
        " %%tmm6, %%tmm5, %%tmm2\n" op " %%tmm7, %%tmm5, %%tmm3\nsub $1, %0\njnz 1b\ntilerelease\n" \
        : "+r"(rounds)                                                                              \
        : "m"(shapes)                                                                               \
        : "cc");                                                                                    \
  }

PADLESS_TILE_LOOP(bf16_tiles, "tdpbf16ps")
PADLESS_TILE_LOOP(u8s8_tiles, "tdpbusd")

// Vector instructions count as one a cycle, tile products as one in 16.
RoofLoop vector_loop(const char* instruction, void (*run)(long), double operations) {
  return {instruction, run, 12 * operations, 12};
}
RoofLoop tile_loop(const char* instruction, void (*run)(long), double operations) {
  return {instruction, run, 4 * operations, 64};
}

RoofLoop choose_loop(const CpuIsa& isa, ComputeType compute) {
  if (compute == ComputeType::kI8) {
    if (isa.amx_int8) return tile_loop("TDPBUSD", u8s8_tiles, 32768);
    if (isa.avx512_vnni) return vector_loop("VPDPBUSD zmm", u8s8_512, 128);
    if (isa.avx_vnni) return vector_loop("VPDPBUSD ymm", u8s8_256, 64);
  }
  if (compute == ComputeType::kBF16) {
    if (isa.amx_bf16) return tile_loop("TDPBF16PS", bf16_tiles, 16384);
    if (isa.prefers_bf16_dots()) return vector_loop("VDPBF16PS zmm", bf16_512, 64);
  }
  if (isa.level >= IsaLevel::kAvx512) return vector_loop("VFMADD231PS zmm", fma_512, 32);
  if (isa.level >= IsaLevel::kAvx2) return vector_loop("VFMADD231PS ymm", fma_256, 16);
  return {};
}

#else

RoofLoop choose_loop(const CpuIsa&, ComputeType) { return {}; }

#endif

/** Seconds from the first start to the last end of work(index) on `threads` threads that start together. */
double seconds_together(int threads, const std::function<void(int)>& work) {
  std::vector<Clock::time_point> begin(static_cast<size_t>(threads)), end(static_cast<size_t>(threads));
  std::atomic<int> arrived{0};
  ThreadPool::shared().run(threads, [&](int index, int count) {
    ++arrived;
    while (arrived < count) std::this_thread::yield();
    begin[static_cast<size_t>(index)] = Clock::now();
    work(index);
    end[static_cast<size_t>(index)] = Clock::now();
  });
  const std::chrono::duration<double> time =
      *std::max_element(end.begin(), end.end()) - *std::min_element(begin.begin(), begin.end());
  return time.count();
}

constexpr size_t kSweepWords = size_t{128} << 17;  // 128 MiB

/** On huge pages, where the system gives them: as packed weights lie. */
const uint64_t* sweep_words() {
  static const WeightBlock block = [] {
    WeightBlock memory = WeightBlock::allocate(kSweepWords * sizeof(uint64_t));
    if (memory) std::fill_n(reinterpret_cast<uint64_t*>(memory.get()), kSweepWords, uint64_t{1});
    return memory;
  }();
  return reinterpret_cast<const uint64_t*>(block.get());
}

/** The sum keeps the compiler from dropping the loads; four of them keep the adds out of the way. */
uint64_t read_words(const uint64_t* words, size_t count) {
  uint64_t sums[4] = {};
  for (size_t i = 0; i + 4 <= count; i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) sums[lane] += words[i + lane];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace

const char* roof_instruction(const CpuIsa& isa, ComputeType compute) {
  return choose_loop(isa, compute).instruction;
}

double measure_roof(const CpuIsa& isa, ComputeType compute, int threads, double milliseconds) {
  const RoofLoop loop = choose_loop(isa, compute);
  if (!loop.run) return 0;
  const long rounds = static_cast<long>(milliseconds * 1e-3 * 3.5e9 / loop.cycles_a_round);
  const double time = seconds_together(threads, [&](int) { loop.run(rounds); });
  return loop.operations_a_round * static_cast<double>(rounds) * threads / time;
}

double measure_read_bandwidth(int threads, double milliseconds) {
  const uint64_t* words = sweep_words();
  if (!words) return 0;
  const size_t part = kSweepWords / static_cast<size_t>(threads);
  std::vector<uint64_t> sums(static_cast<size_t>(threads));
  const auto sweep = [&](int index) {
    sums[static_cast<size_t>(index)] += read_words(words + part * static_cast<size_t>(index), part);
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
