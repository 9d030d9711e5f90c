// What the forwards of one stream work in: activations, the batch on the device, and recorded forwards.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "lib/encoder/pooled.h"
#include "lib/encoder/programs.h"
#include "lib/encoder/spec.h"
#include "lib/engine/engine.h"

namespace padless {

/** What forwards over batches of one capacity differ in. */
struct ForwardKind {
  int64_t layers = 0;
  int64_t adapter = -1;
  uint32_t kernels = 0;  // as of PreparedBatch
  PooledOutputs pooled;

  auto operator<=>(const ForwardKind&) const = default;
};

/** A forward of one kind over batches of one capacity. */
struct RecordedForward {
  std::unique_ptr<Recording> recording;
  std::shared_ptr<PooledRows> rows;
  bool seen = false;     // it has run once: its kernels are loaded
  bool refused = false;  // the device could not record or replay it
};

/** What the layers run on: a prepared batch and, by Binding, matrices of its rows. A matrix that the spec
 * does not need has no data. */
struct LayerRows {
  const PreparedBatch& batch;
  std::vector<Matrix> matrices;
};

/** How the rows of layers are stored. */
struct ActivationStorage {
  DType dtype = DType::kF32;
  DType qkv = DType::kF32;          // of queries, keys and values
  bool context_in_queries = false;  // attention writes its results over its queries
};

/** Bytes of a row of everything that layers write. */
int64_t activation_bytes(const EncoderSpec& spec, const ActivationStorage& storage);

/** Memory in proportion to the rows that a batch has room for, and to those that go through the layers at a
 * time. */
class Workspace {
 public:
  /** Makes memory for `rows` hidden rows, unless those are `lent` until the next fit, and for all else that
   * layers need of `layer_rows`; E_OUT_OF_MEMORY. */
  Status fit(Engine& engine, const EncoderSpec& spec, const ActivationStorage& storage, int64_t rows,
             int64_t layer_rows, void* lent);
  /** The matrices of `part`, whose first row is row `first` of the hidden rows, with the token rows that it
   * was prepared with for `ropes` behind the activations. */
  LayerRows layer_rows(const PreparedBatch& part, int64_t first, size_t ropes) const;
  /** The first `count` hidden rows. */
  Matrix hidden(int64_t count) const;
  size_t bytes() const;

  /** The forward of that kind. Callers choose what kinds there are (the dimensions kept, say), so that all go
   * when there are too many. */
  RecordedForward& forward(const ForwardKind& kind);

  std::unique_ptr<PreparedBatch> batch;

 private:
  static constexpr size_t kMostForwards = 16;

  struct Activations {
    int64_t cols = 0;
    DType dtype = DType::kF32;
    int64_t rows = 0;  // that the buffer has room for
    std::unique_ptr<Buffer> buffer;
  };
  Matrix rows_of(size_t binding, int64_t first, int64_t count) const;

  std::vector<Activations> activations_;  // by Binding, up to the ropes
  void* lent_hidden_ = nullptr;           // the hidden rows, where they are not this workspace's own
  int64_t context_columns_ = 0;           // of the queries, where attention writes over them
  std::map<ForwardKind, RecordedForward> forwards_;
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
