// What the CPU engine's tests share: seeded random data, the machine's instruction sets, a tally of failures.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "lib/core/matrix.h"
#include "lib/core/status.h"
#include "lib/engine/cpu/context.h"

namespace padless::test {

inline int failures = 0;

inline void check(bool condition, const std::string& what) {
  if (condition) return;
  // The first failures tell the story; thousands of them hide it.
  if (++failures <= 20) std::fprintf(stderr, "FAILED %s\n", what.c_str());
}

inline void check_status(const Status& status, Code code, const std::string& field, const std::string& what) {
  check(status.code() == code && status.field() == field,
        concat(what, ": got ", code_name(status.code()), " about \"", status.field(), "\" (",
               status.message(), "), expected ", code_name(code), " about \"", field, "\""));
}

/** The first argument, or a fresh one: printed by finish() if anything fails. */
inline uint64_t test_seed = 0;

inline void start(int argc, char** argv) {
  test_seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : std::random_device{}();
}

inline int finish() {
  if (failures == 0) return EXIT_SUCCESS;
  std::fprintf(stderr, "%d failures; seed %llu\n", failures, static_cast<unsigned long long>(test_seed));
  return EXIT_FAILURE;
}

/** One generator a case, so that a case does not depend on those before it. */
inline std::mt19937_64 generator(uint64_t salt) {
  return std::mt19937_64(test_seed * 0x9e3779b97f4a7c15ull + salt);
}

inline std::vector<float> normal_values(int64_t count, uint64_t salt, float deviation = 1.f) {
  std::mt19937_64 random = generator(salt);
  std::normal_distribution<float> normal(0.f, deviation);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

/** Contexts for every instruction set that this machine has, with `threads` threads. */
inline std::vector<CpuContext> contexts(int threads) {
  const CpuIsa machine = detect_cpu_isa();
  std::vector<CpuContext> result;
  for (IsaLevel level :
       {IsaLevel::kPortable, IsaLevel::kNeon, IsaLevel::kAvx2, IsaLevel::kAvx512, IsaLevel::kAmx}) {
    if (has_level(machine, level)) result.push_back({restrict_isa(machine, level), CacheSizes{}, threads});
  }
  return result;
}

inline Matrix matrix_of(std::vector<float>& values, int64_t rows, int64_t cols) {
  return {values.data(), DType::kF32, rows, cols, cols};
}

inline std::vector<int32_t> prefix_sums(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> sums = {0};
  for (int32_t length : lengths) sums.push_back(sums.back() + length);
  return sums;
}

}  // namespace padless::test
