#include "cuda/bench/report.h"

#include <algorithm>
#include <utility>

namespace padless::cuda::bench {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return result + '"';
}

}  // namespace

double fraction_of_roof(const Measurement& measurement, const Roof& roof) {
  if (measurement.seconds <= 0 || roof.flops <= 0 || roof.bytes <= 0) return 0;
  return std::max(measurement.flops / roof.flops, measurement.bytes / roof.bytes) / measurement.seconds;
}

Result<Report> Report::open(const Options& options, const ReportedDevice& device, const Roof& roof) {
  Report report;
  report.options_ = options;
  report.device_ = device;
  report.roof_ = roof;
  if (!options.json.empty()) {
    report.json_ = std::fopen(options.json.c_str(), "a");
    PADLESS_CHECK(report.json_ != nullptr, Code::kInvalidArgument, "--json", options.json,
                  " cannot be written");
  }
  std::printf("%s: %.0f TFLOP/s by mma.sync, %.0f GB/s by a copy\n", device.name.c_str(), roof.flops / 1e12,
              roof.bytes / 1e9);
  std::printf("%-14s %-34s %10s %9s %8s %7s %9s\n", "op", "", "us", "TFLOP/s", "GB/s", "roof", "cuBLASLt");
  return Result<Report>(std::move(report));
}

Report::Report(Report&& other) noexcept
    : options_(std::move(other.options_)),
      device_(std::move(other.device_)),
      roof_(other.roof_),
      json_(std::exchange(other.json_, nullptr)) {}

Report::~Report() {
  if (json_ != nullptr) std::fclose(json_);
}

void Report::add(const Measurement& m) {
  const double fraction = fraction_of_roof(m, roof_), ratio = m.cublas_seconds / m.seconds;
  std::printf("%-14s %-34s %10.1f %9.1f %8.0f %6.0f%%", m.op.c_str(), m.name.c_str(), m.seconds * 1e6,
              m.flops / m.seconds / 1e12, m.bytes / m.seconds / 1e9, 100 * fraction);
  if (m.cublas_seconds > 0) std::printf(" %8.2fx", ratio);
  std::printf("\n");
  if (json_ == nullptr) return;
  std::fprintf(json_,
               "{\"device\":%s,\"compute_capability\":%d,\"sms\":%d,\"op\":%s,\"name\":%s,\"shape\":%s,"
               "\"lengths\":%s,\"batch\":%lld,"
               "\"max_length\":%lld,\"ratio\":%g,\"seed\":%llu,\"samples\":%d,\"us\":%.3f,\"flops\":%.0f,"
               "\"bytes\":%.0f,\"roof_flops\":%.4g,\"roof_bytes\":%.4g,\"fraction_of_roof\":%.4f",
               quoted(device_.name).c_str(), device_.compute_capability, device_.sms, quoted(m.op).c_str(),
               quoted(m.name).c_str(), quoted(options_.shape.name).c_str(), quoted(options_.lengths).c_str(),
               static_cast<long long>(options_.batch), static_cast<long long>(options_.max_length),
               options_.ratio, static_cast<unsigned long long>(options_.seed), options_.samples,
               m.seconds * 1e6, m.flops, m.bytes, roof_.flops, roof_.bytes, fraction);
  if (m.cublas_seconds > 0) std::fprintf(json_, ",\"cublaslt_us\":%.3f", m.cublas_seconds * 1e6);
  std::fprintf(json_, "%s}\n", m.fields.c_str());
  std::fflush(json_);  // whatever ends the program, what was measured stays
}

void Report::skip(const std::string& op, const std::string& reason) {
  std::printf("%-14s skipped: %s\n", op.c_str(), reason.c_str());
}

}  // namespace padless::cuda::bench
