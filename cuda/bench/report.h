// What was measured: a line for people, and one JSON object a line for bench/results.
#pragma once

#include <cstdio>
#include <string>

#include "cuda/bench/options.h"

namespace padless::cuda::bench {

/** The most that this GPU reached in loops that do nothing else. */
struct Roof {
  double flops = 0;  // a second, of mma.sync in bf16
  double bytes = 0;  // a second, read and written by a copy
};

struct Measurement {
  std::string op, name;
  double seconds = 0;         // median
  double flops = 0;           // useful ones: of tokens, none of padding
  double bytes = 0;           // that must move at least: every operand once
  double cublas_seconds = 0;  // of the same product by cuBLASLt; 0: not measured
  std::string fields = {};    // what else the JSON line says: ,"name":value
};

/** The GPU that runs. */
struct ReportedDevice {
  std::string name;
  int compute_capability, sms;
};

/** The time the roof allows over the time taken. */
double fraction_of_roof(const Measurement& measurement, const Roof& roof);

class Report {
 public:
  /** E_INVALID_ARGUMENT if the JSON file cannot be written. */
  static Result<Report> open(const Options& options, const ReportedDevice& device, const Roof& roof);
  Report(Report&& other) noexcept;
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;
  ~Report();

  void add(const Measurement& measurement);
  void skip(const std::string& op, const std::string& reason);

 private:
  Report() = default;
  Options options_;
  ReportedDevice device_;
  Roof roof_;
  std::FILE* json_ = nullptr;
};

}  // namespace padless::cuda::bench
