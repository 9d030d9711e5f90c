// Stands in for the CUDA engine in builds without it.
#include "lib/engine/cuda/cuda_engine.h"

namespace padless {
namespace {

constexpr const char* kReason =
    "this build has no CUDA support; where nvcc and the GPU are, \"npm run build\" adds it";

}  // namespace

std::vector<CudaListing> list_cuda_devices() { return {{"cuda:0", kReason}}; }

Result<std::shared_ptr<Engine>> create_cuda_engine(const std::string& name, const CudaEngineOptions&) {
  return Status(Code::kDevice, concat(name, ": ", kReason), "device");
}

}  // namespace padless
