// Names and texts of errors.
#include "cuda/emulator/runtime/device_state.h"

namespace {

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};

#define PADLESS_ERROR(name, text) \
  { name, #name, text }
constexpr ErrorText kErrors[] = {
    PADLESS_ERROR(cudaSuccess, "no error"),
    PADLESS_ERROR(cudaErrorInvalidValue, "invalid argument"),
    PADLESS_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    PADLESS_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    PADLESS_ERROR(cudaErrorInsufficientDriver,
                  "CUDA driver version is insufficient for CUDA runtime version"),
    PADLESS_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    PADLESS_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    PADLESS_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    PADLESS_ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    PADLESS_ERROR(cudaErrorNotReady, "device not ready"),
    PADLESS_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    PADLESS_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    PADLESS_ERROR(cudaErrorNotPermitted, "operation not permitted"),
    PADLESS_ERROR(cudaErrorNotSupported, "operation not supported"),
    PADLESS_ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    PADLESS_ERROR(cudaErrorStreamCaptureInvalidated,
                  "operation failed due to a previous error during capture"),
    PADLESS_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    PADLESS_ERROR(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"),
    PADLESS_ERROR(cudaErrorStreamCaptureImplicit,
                  "operation would make the legacy stream depend on a capturing blocking stream"),
    PADLESS_ERROR(cudaErrorCapturedEvent,
                  "operation not permitted on an event last recorded in a capturing stream"),
};
#undef PADLESS_ERROR

const ErrorText* find(cudaError_t error) {
  for (const ErrorText& entry : kErrors) {
    if (entry.error == error) return &entry;
  }
  return nullptr;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  const ErrorText* entry = find(error);
  return entry != nullptr ? entry->name : "unrecognized error code";
}

// For an error of queued work: what the emulator saw.
const char* cudaGetErrorString(cudaError_t error) {
  const auto& device = padless::cuda::emulator::device();
  if (error != cudaSuccess && error == device.sticky) return device.sticky_text.c_str();
  const ErrorText* entry = find(error);
  return entry != nullptr ? entry->text : "unrecognized error code";
}
