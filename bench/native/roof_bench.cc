// The machine's limits on request: each input line "KIND MILLISECONDS" is answered by one line with the rate.
//
//   roof_bench [THREADS] [ISA]   KIND: f32, bf16, int8 (operations a second) or read (bytes a second)
//
// The first line that it prints is JSON: the instruction sets, and the instruction that is the roof of a
// kind.
//
// Resident, so that a benchmark can ask around every sample without paying for a process.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#include "bench/native/roof.h"
#include "lib/core/thread_pool.h"

int main(int argc, char** argv) {
  using namespace padless;
  const int threads = argc > 1 ? std::atoi(argv[1]) : available_cpus();
  if (threads < 1) {
    std::fprintf(stderr, "usage: roof_bench [THREADS] [ISA]\n");
    return EXIT_FAILURE;
  }
  CpuIsa isa = detect_cpu_isa();
  if (argc > 2) {
    const std::optional<IsaLevel> level = find_isa_level(argv[2]);
    if (!level || !has_level(isa, *level)) {
      std::fprintf(stderr, "roof_bench: this machine has no %s; it has %s\n", argv[2], isa_name(isa).c_str());
      return EXIT_FAILURE;
    }
    isa = restrict_isa(isa, *level);
  }
  const auto instruction = [&](ComputeType compute) { return bench::roof_instruction(isa, compute); };
  std::printf("{\"isa\": \"%s\", \"instructions\": {\"f32\": \"%s\", \"bf16\": \"%s\", \"int8\": \"%s\"}}\n",
              isa_name(isa).c_str(), instruction(ComputeType::kF32), instruction(ComputeType::kBF16),
              instruction(ComputeType::kI8));
  std::fflush(stdout);
  std::string kind;
  double milliseconds = 0;
  while (std::cin >> kind >> milliseconds) {
    const double rate = kind == "read" ? bench::measure_read_bandwidth(threads, milliseconds)
                                       : bench::measure_roof(isa,
                                                             kind == "int8"   ? ComputeType::kI8
                                                             : kind == "bf16" ? ComputeType::kBF16
                                                                              : ComputeType::kF32,
                                                             threads, milliseconds);
    std::printf("%.6g\n", rate);
    std::fflush(stdout);
  }
}
