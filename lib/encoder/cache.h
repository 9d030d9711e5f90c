// Loading the same model twice gives the same weights.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "lib/encoder/encoder.h"

namespace padless {

/** Encoders that somebody holds, by a key that names their files, spec and engine. Thread-safe. */
class EncoderCache {
 public:
  using Load = std::function<Result<std::shared_ptr<Encoder>>()>;

  /** The process's cache. */
  static EncoderCache& shared();

  /** The encoder of `key` if it lives, else what `load` gives; a second caller waits for the first's load. */
  Result<std::shared_ptr<Encoder>> get(const std::string& key, const Load& load);

 private:
  struct Entry {
    std::mutex mutex;  // held while loading
    std::weak_ptr<Encoder> encoder;
  };
  std::mutex mutex_;  // guards entries_
  std::map<std::string, std::shared_ptr<Entry>> entries_;
};

}  // namespace padless
