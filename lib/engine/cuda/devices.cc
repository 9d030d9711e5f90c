#include "lib/engine/cuda/devices.h"

#include <algorithm>

namespace padless::cuda {
namespace {

/** The oldest GPUs that the kernels run on: Ampere, which brought cp.async and bf16 tensor cores. */
constexpr int kLeastMajor = 8;

/** 12040 is CUDA 12.4. */
std::string version_text(int version) { return concat(version / 1000, ".", version % 1000 / 10); }

/** Why there is no device at all; empty if there is one. */
std::string why_none(int& count) {
  int driver = 0;
  int runtime = 0;
  static_cast<void>(cudaDriverGetVersion(&driver));
  static_cast<void>(cudaRuntimeGetVersion(&runtime));
  if (driver == 0) return "no CUDA driver is installed on this machine";
  const cudaError_t error = cudaGetDeviceCount(&count);
  static_cast<void>(cudaGetLastError());  // it was an answer, not a failure
  if (error == cudaErrorInsufficientDriver) {
    return concat("the CUDA driver is too old: it supports CUDA ", version_text(driver),
                  ", this build needs ", version_text(runtime));
  }
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    return "no NVIDIA GPU is visible to this process";
  return error == cudaSuccess ? "" : to_status(error).message();
}

}  // namespace

std::string device_name(int index) { return concat(kRuntimeKind, ":", index); }

int device_count() {
  int count = 0;
  static_cast<void>(why_none(count));
  return std::max(count, 1);
}

std::string why_unusable(int index) {
  int count = 0;
  if (std::string reason = why_none(count); !reason.empty()) return reason;
  if (index < 0 || index >= count) {
    return concat("there ", count == 1 ? "is 1 GPU" : concat("are ", count, " GPUs"), ", the last one is ",
                  device_name(count - 1));
  }
  cudaDeviceProp properties{};
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, index); error != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return to_status(error).message();
  }
  if (properties.major < kLeastMajor) {
    return concat(properties.name, " has compute capability ", properties.major, ".", properties.minor,
                  "; the kernels need ", kLeastMajor, ".0");
  }
  return "";
}

}  // namespace padless::cuda
