// The memory of a recording's temporaries. What an op frees, a later op of the recording gets; nobody else
// does, as long as the recording may be replayed.
#pragma once

#include <map>
#include <memory>

#include "lib/engine/cuda/arena.h"

namespace padless::cuda {

/** For the thread that records. */
class RecordedMemory : public std::enable_shared_from_this<RecordedMemory> {
 public:
  RecordedMemory(std::shared_ptr<CudaArena> arena, SharedStream stream);
  ~RecordedMemory();
  RecordedMemory(const RecordedMemory&) = delete;
  RecordedMemory& operator=(const RecordedMemory&) = delete;

  Result<std::unique_ptr<Buffer>> allocate(size_t bytes);
  /** Of the device, in all. */
  size_t bytes() const { return bytes_; }

 private:
  class Lent;

  const std::shared_ptr<CudaArena> arena_;
  const SharedStream stream_;
  size_t bytes_ = 0;
  std::multimap<size_t, std::unique_ptr<Buffer>> idle_;  // by size
};

}  // namespace padless::cuda
