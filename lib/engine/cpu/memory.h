// Host memory of the CPU engine: aligned to a cache line (and a vector), counted while it lives.
#pragma once

#include <cstddef>
#include <memory>

#include "lib/core/byte_count.h"
#include "lib/core/status.h"
#include "lib/engine/engine.h"

namespace padless {

inline constexpr size_t kHugePage = size_t{2} << 20;

/** Bytes in use; shared by an engine and everything it handed out, which may outlive it. */
using ByteCounter = std::shared_ptr<ByteCount>;

/** Adds `bytes` to a counter for as long as it lives. */
class CountedBytes {
 public:
  CountedBytes(ByteCounter counter, size_t bytes);
  ~CountedBytes();
  CountedBytes(const CountedBytes&) = delete;
  CountedBytes& operator=(const CountedBytes&) = delete;

 private:
  ByteCounter counter_;
  size_t bytes_;
};

/** A 64-byte aligned block with uninitialised contents; blocks of megabytes ask for huge pages. */
class AlignedBlock {
 public:
  /** E_OUT_OF_MEMORY if the system has no `bytes` to give. 0 bytes are legal: data() is then not null. */
  static Result<AlignedBlock> allocate(size_t bytes);

  AlignedBlock() = default;
  void* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(void* data) const;
  };
  std::unique_ptr<void, Free> data_;
};

Result<std::unique_ptr<Buffer>> create_cpu_buffer(const ByteCounter& counter, size_t bytes);

/** A copy of `tensor`, converted to `dtype`; E_UNSUPPORTED for other than float dtypes or rank above 2. */
Result<std::shared_ptr<const DeviceTensor>> create_cpu_tensor(const ByteCounter& counter,
                                                              const HostTensor& tensor, DType dtype,
                                                              int threads);

}  // namespace padless
