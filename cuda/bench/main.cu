// kernel_bench: each kernel's microseconds, next to what the GPU at hand can do. See --help.
#include <cstdio>

#include "cuda/bench/setting.h"

namespace padless::cuda::bench {
namespace {

constexpr int kFailed = 1, kWrongArguments = 2, kNoGpu = 3;

int fail(const Status& status, const std::string& op = "") {
  std::fprintf(stderr, "kernel_bench: %s%s%s\n", op.c_str(), op.empty() ? "" : ": ",
               status.message().c_str());
  return kFailed;
}

Status run(const std::string& op, Setting& setting, Report& report) {
  if (op == "linear") return bench_linear(setting, report);
  if (op == "linear_norm") return bench_linear_norm(setting, report);
  if (op == "attention" || op == "disentangled")
    return bench_attention(setting, report, op == "disentangled");
  if (op == "ladder") return bench_ladder(setting, report);
  return bench_rows(setting, report, op);
}

int run_all(const Options& options) {
  constexpr int kLeastCapability = 80;
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::fprintf(stderr, "kernel_bench: no usable GPU: %s\n",
                 error != cudaSuccess ? cudaGetErrorString(error) : "the driver lists none");
    return kNoGpu;
  }
  auto properties = device_properties(0);
  if (!properties.is_ok()) return fail(properties.status());
  if (properties.value().compute_capability < kLeastCapability) {
    std::fprintf(stderr, "kernel_bench: no usable GPU: compute capability %d, at least %d is needed\n",
                 properties.value().compute_capability, kLeastCapability);
    return kNoGpu;
  }
  cudaDeviceProp native{};
  if (const Status status = to_status(cudaGetDeviceProperties(&native, 0)); !status.is_ok())
    return fail(status);
  auto setting = Setting::create(options);
  if (!setting.is_ok()) return fail(setting.status());
  auto roof = measure_roof(setting.value());
  if (!roof.is_ok()) return fail(roof.status());
  auto report =
      Report::open(options, {native.name, properties.value().compute_capability, properties.value().sm_count},
                   roof.value());
  if (!report.is_ok()) return fail(report.status());
  std::vector<std::string> ops = options.ops;
  if (ops.empty()) ops.assign(std::begin(kOpNames), std::end(kOpNames));
  int code = 0;
  for (const std::string& op : ops) {
    const Status status = run(op, setting.value(), report.value());
    setting.value().release();
    if (!status.is_ok()) code = fail(status, op);
  }
  return code;
}

}  // namespace
}  // namespace padless::cuda::bench

int main(int argc, char** argv) {
  using namespace padless::cuda::bench;
  const auto options =
      parse_options({const_cast<const char* const*>(argv) + 1, static_cast<size_t>(argc - 1)});
  if (!options.is_ok()) {
    std::fprintf(stderr, "kernel_bench: %s\n", options.status().message().c_str());
    return kWrongArguments;
  }
  if (options.value().help) {
    std::printf("%s", usage().c_str());
    return 0;
  }
  return run_all(options.value());
}
