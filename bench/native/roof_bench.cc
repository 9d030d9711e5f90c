// The machine's limits on request: each input line "KIND MILLISECONDS" is answered by one line with the rate.
//
//   roof_bench [THREADS]     KIND: f32, bf16, int8 (operations a second) or read (bytes a second)
//
// Resident, so that a benchmark can ask around every sample without paying for a process.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "bench/native/roof.h"
#include "lib/core/thread_pool.h"

int main(int argc, char** argv) {
  using namespace padless;
  const int threads = argc > 1 ? std::atoi(argv[1]) : available_cpus();
  if (threads < 1) {
    std::fprintf(stderr, "usage: roof_bench [THREADS]\n");
    return EXIT_FAILURE;
  }
  const CpuIsa isa = detect_cpu_isa();
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
