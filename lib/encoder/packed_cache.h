// Packed linear weights of one model, kept in a file: the next load maps them instead of packing.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/core/status.h"
#include "lib/engine/packed_linear.h"

namespace padless {

/**
 * A file holds what one key names: the source files, what the model computes, and the layout of the kernels.
 * It is trusted only whole: a file of another key or size, or whose checksum is wrong, counts as none and is
 * written anew. Writers replace it by a rename, so that readers and several writers at once see whole files.
 */
class PackedCache {
 public:
  /** `engine` must outlive it. */
  PackedCache(PackedLinearEngine& engine, std::string path, const std::string& key);

  /** The weight kept as `name` if it has these sizes; null if it must be packed. */
  std::shared_ptr<const LinearWeight> find(const std::string& name, ComputeType compute, int64_t in,
                                           int64_t out, bool glu);
  /** Remembers a weight that has been packed. */
  void keep(const std::string& name, std::shared_ptr<const LinearWeight> weight);
  /** Writes the file if weights had to be packed. The status says what is wrong with the directory. */
  Status write() const;

 private:
  void read();

  PackedLinearEngine& engine_;
  const std::string path_;
  const std::string key_;
  std::map<std::string, PackedLinear> stored_;
  std::vector<std::pair<std::string, std::shared_ptr<const LinearWeight>>> kept_;  // found or packed
  bool missed_ = false;
};

}  // namespace padless
