// What products on tile registers (AMX) reach of their roof as one thing after another is added to a loop of
// them: real values, operands in L1, rows in L2, an epilogue, weights from memory.
//
//   tile_bench [THREADS]    prints JSON; nothing but {} where the processor has no tiles
//
// Loops take turns. The roof is the median of bursts between them, since loops may lower the chip's clock,
// which then takes a while to rise: a sample begins once a burst has come near the best one.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "bench/native/roof.h"
#include "bench/native/tile_loops.h"
#include "lib/core/thread_pool.h"
#include "lib/engine/cpu/gemm/select.h"

namespace padless::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kSamples = 15;
constexpr double kSampleSeconds = 8e-3;
constexpr int kMostBursts = 20;

struct Loop {
  const char* name;
  std::function<void(TileWork&, long rounds)> run;
  std::vector<double> fractions = {};
};

double seconds_of(const CpuContext& context, std::vector<TileWork>& work, const Loop& loop, long rounds) {
  const auto begin = Clock::now();
  ThreadPool::shared().run(context.threads,
                           [&](int index, int) { loop.run(work[static_cast<size_t>(index)], rounds); });
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/** The roof at the chip's full clock: bursts until one comes near the best so far, or patience ends. */
double full_roof(const CpuContext& context, ComputeType compute, double& best) {
  double roof = 0;
  for (int burst = 0; burst < kMostBursts && roof < 0.97 * best; ++burst) {
    roof = std::max(roof, measure_roof(context.isa, compute, context.threads, 5));
  }
  best = std::max(best, roof);
  return roof;
}

double median(std::vector<double> values) {
  if (values.empty()) return std::nan("");
  const auto middle = values.begin() + static_cast<int64_t>(values.size()) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void bench(const CpuContext& context, ComputeType compute, const char* name) {
  std::vector<TileWork> work;
  for (int i = 0; i < context.threads; ++i) work.emplace_back(context, compute, static_cast<uint64_t>(i));
  Loop loops[] = {
      {"normal values in registers", [](TileWork& w, long n) { w.registers(n); }},
      {"operands in L1", [](TileWork& w, long n) { w.operands_in_l1(n); }},
      {"rows in L2", [](TileWork& w, long n) { w.rows_in_l2(n, false); }},
      {"sums stored", [](TileWork& w, long n) { w.rows_in_l2(n, true); }},
      {"bias, rows of bf16 stored", [](TileWork& w, long n) { w.panels(n, Activation::kNone, 1); }},
      {"GELU too", [](TileWork& w, long n) { w.panels(n, Activation::kGeluErf, 1); }},
      {"weights in L2", [](TileWork& w, long n) { w.panels(n, Activation::kGeluErf, 16); }},
      {"weights beyond L2",
       [](TileWork& w, long n) { w.panels(n, Activation::kGeluErf, TileWork::kAllPanels); }},
  };
  double best = measure_roof(context.isa, compute, context.threads, 50);
  for (int i = 0; i < kSamples; ++i) {
    for (Loop& loop : loops) {
      const double once = seconds_of(context, work, loop, 1);
      const long rounds = std::max(1L, std::lround(kSampleSeconds / once));
      const double roof = full_roof(context, compute, best);
      const double operations = TileWork::operations(compute) * static_cast<double>(rounds) * context.threads;
      loop.fractions.push_back(operations / seconds_of(context, work, loop, rounds) / roof);
    }
  }
  std::printf("\"%s\": {\"instruction\": \"%s\", \"roof\": %.6g, \"loops\": [", name,
              roof_instruction(context.isa, compute), best);
  const char* separator = "";
  for (const Loop& loop : loops) {
    std::printf("%s\n  {\"name\": \"%s\", \"fractionOfRoof\": %.4f}", separator, loop.name,
                median(loop.fractions));
    separator = ",";
  }
  std::printf("]}");
}

}  // namespace
}  // namespace padless::bench

int main(int argc, char** argv) {
  using namespace padless;
  CpuContext context{detect_cpu_isa(), detect_cache_sizes(),
                     argc > 1 ? std::atoi(argv[1]) : available_cpus()};
  if (context.threads < 1) {
    std::fprintf(stderr, "usage: tile_bench [THREADS]\n");
    return EXIT_FAILURE;
  }
  if (!context.isa.amx_bf16 || !context.isa.amx_int8) {
    std::printf("{}\n");
    return EXIT_SUCCESS;
  }
  std::printf("{\"isa\": \"%s\", \"threads\": %d,\n", isa_name(context.isa).c_str(), context.threads);
  bench::bench(context, ComputeType::kBF16, "bf16");
  std::printf(",\n");
  bench::bench(context, ComputeType::kI8, "int8");
  std::printf("}\n");
}
