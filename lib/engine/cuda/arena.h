// Device memory that is allocated once and handed out again in stream order.
//
// A freed block remembers the streams whose work touched it. That stream's own next allocation may have it at
// once, since work of one stream runs in order; anybody else gets it when that work is over. Nothing waits
// and no event is recorded until somebody else asks. Only when the device has no more memory the arena waits
// for what is still in use and gives all that it holds back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "lib/core/byte_count.h"
#include "lib/engine/cuda/device.h"
#include "lib/engine/engine.h"

namespace padless::cuda {

class CudaArena : public std::enable_shared_from_this<CudaArena> {
 public:
  explicit CudaArena(std::shared_ptr<CudaDevice> device) : device_(std::move(device)) {}
  ~CudaArena();
  CudaArena(const CudaArena&) = delete;
  CudaArena& operator=(const CudaArena&) = delete;

  /** 256-byte aligned. `stream`: the one whose work comes first; null: any. E_OUT_OF_MEMORY. */
  Result<std::unique_ptr<Buffer>> allocate(size_t bytes, const SharedStream& stream);

  /** Work on the memory at `address` has been enqueued on `stream`. */
  void touch(const void* address, const SharedStream& stream);

  /** The stream is being captured until released: nothing may record an event on it or wait for it, so that
   * what it has used stays out of others' reach. */
  void hold(const SharedStream& stream);
  void release(const SharedStream& stream);

  /** Bytes in use; what waits to be used again is not counted. */
  ByteCount& allocated() { return allocated_; }
  /** Bytes that wait to be used again. */
  size_t idle_bytes() const;

 private:
  class ArenaBuffer;
  struct Use {
    SharedStream stream;
    SharedEvent event;  // past the use; recorded when somebody first asks
  };
  struct Block {
    void* data = nullptr;
    size_t size = 0;
    std::vector<Use> uses;
  };

  void release(void* data, size_t bytes);
  bool is_held(const SharedStream& stream) const;
  bool is_ready(Block& block, const SharedStream& stream);
  Result<Block> take(size_t size, const SharedStream& stream);
  void free_idle();

  const std::shared_ptr<CudaDevice> device_;
  ByteCount allocated_;
  mutable std::mutex mutex_;           // guards what follows
  std::map<uintptr_t, Block> live_;    // by address
  std::multimap<size_t, Block> idle_;  // by size
  std::vector<SharedStream> held_;
};

}  // namespace padless::cuda
