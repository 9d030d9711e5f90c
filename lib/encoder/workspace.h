// What the forwards of one stream work in: activations, the batch on the device, and recorded forwards.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "lib/encoder/programs.h"
#include "lib/encoder/spec.h"
#include "lib/engine/engine.h"

namespace padless {

/** A forward of one kind over batches of one capacity. */
struct RecordedForward {
  std::unique_ptr<Recording> recording;
  bool seen = false;     // it has run once: its kernels are loaded
  bool refused = false;  // the device could not record or replay it
};

/** Memory in proportion to the rows that a batch has room for. */
class Workspace {
 public:
  /** Makes `matrices` ready for the batch, with its token rows behind the activations; E_OUT_OF_MEMORY. */
  Status fit(Engine& engine, const EncoderSpec& spec, DType activations);
  size_t bytes() const;

  /** By Binding. A matrix that the spec does not need has no data. */
  std::vector<Matrix> matrices;
  std::unique_ptr<PreparedBatch> batch;
  /** By the number of layers, the adapter, and the batch's kernels(). */
  std::map<std::tuple<int64_t, int64_t, uint32_t>, RecordedForward> forwards;

 private:
  int64_t capacity_ = 0;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

/** The workspaces of an encoder on one stream, for use on that stream's thread: what it has queued may still
 * be at work in them, which is in order for this stream and for no other. */
class Workspaces {
 public:
  /** What a stream keeps to replay forwards in, by default: a thirtieth of the memory of an 8 GiB GPU. 2048
   * tokens of a BERT-large take some 50 MB. */
  static constexpr size_t kMostBytes = size_t{256} << 20;

  explicit Workspaces(size_t most_bytes = kMostBytes) : most_bytes_(most_bytes) {}

  /** That of batches of `capacity` if they are recordable, otherwise the one for all others. Those that were
   * not used for longest go when all take more than they may. */
  Workspace& take(const BatchCapacity& capacity);
  /** Gives back what is recorded; false if that is nothing. */
  bool release();

 private:
  struct Kept {
    BatchCapacity capacity;
    Workspace space;
  };
  const size_t most_bytes_;
  std::list<Kept> recorded_;  // the last used is the first
  Workspace other_;
};

}  // namespace padless
