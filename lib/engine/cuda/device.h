// A GPU as the engine holds it, and the runtime's handles with owners. Every call of the runtime is checked
// by the device, which notices when it has failed for good.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>

#include "cuda/padless_cuda.h"

namespace padless::cuda {

class CudaDevice {
 public:
  /** E_DEVICE with the reason if the device cannot be used. `was_lost`: throws away what an earlier failure
   * has left of it, which answers every call with its error until then. */
  static Result<std::shared_ptr<CudaDevice>> open(int index, bool was_lost);

  CudaDevice(int index, std::string description, const DeviceProperties& properties);

  int index() const { return index_; }
  const std::string& name() const { return name_; }
  const std::string& description() const { return description_; }
  const DeviceProperties& properties() const { return properties_; }

  /** Makes it the calling thread's device; E_DEVICE once the device is lost. */
  Status enter();

  /**
   * The error as a Status that names the device. If the device answers nothing else from now on (CUDA's
   * sticky errors), it is lost: the first error is reported here, all later calls fail in enter().
   */
  Status check(cudaError_t error) { return check(to_status(error)); }
  Status check(Status status);

  bool is_lost() const { return lost_; }

 private:
  const int index_;
  const std::string name_;
  const std::string description_;
  const DeviceProperties properties_;
  std::atomic<bool> lost_ = false;
  mutable std::mutex mutex_;  // guards cause_
  std::string cause_;         // of the loss
};

/** Destroyed with its last owner; a lost device has nothing left to destroy. */
using SharedStream = std::shared_ptr<std::remove_pointer_t<cudaStream_t>>;
using SharedEvent = std::shared_ptr<std::remove_pointer_t<cudaEvent_t>>;

Result<SharedStream> create_stream(const std::shared_ptr<CudaDevice>& device);
/** `timing`: cudaEventElapsedTime may ask for it. */
Result<SharedEvent> create_event(const std::shared_ptr<CudaDevice>& device, bool timing = false);
/** An event recorded at the present end of `stream`. */
Result<SharedEvent> record_event(const std::shared_ptr<CudaDevice>& device, const SharedStream& stream);

}  // namespace padless::cuda
