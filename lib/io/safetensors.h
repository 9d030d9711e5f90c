// A safetensors file, memory-mapped: tensors are views of the file until an engine packs them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/core/status.h"
#include "lib/engine/weights.h"
#include "lib/io/mapped_file.h"
#include "lib/io/safetensors_header.h"

namespace padless {

/** Immutable and shareable between threads. The file stays mapped while the object lives. */
class SafetensorsFile {
 public:
  /**
   * Maps the file and checks its whole header. kNotFound if nothing is there; otherwise kBadWeights for
   * anything the format forbids, with the tensor or the file's name as field.
   */
  static Result<std::shared_ptr<const SafetensorsFile>> open(const std::string& path);

  const std::string& path() const { return path_; }

  /** By position in the file: reading them in this order is sequential. */
  const std::vector<SafetensorsEntry>& entries() const { return header_.entries; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }

  /** nullptr if there is none of that name. */
  const SafetensorsEntry* find(std::string_view name) const;

  /**
   * A view of the entry's data, valid while this object lives. The header's length is arbitrary, so the data
   * may be UNALIGNED for its dtype: read it with memcpy. kUnsupported for dtypes that no engine reads;
   * kBadWeights if the file has changed its size since it was opened (see MappedFile), so ask for a tensor
   * right before reading it.
   */
  Result<HostTensor> tensor(const SafetensorsEntry& entry) const;

  /** Drops the entry's pages from this process's resident set, once it has been packed. */
  void release(const SafetensorsEntry& entry) const;
  /** The same for the bytes [begin, end) of `data`, a pointer that tensor() gave. */
  void release(const void* data, size_t begin, size_t end) const;

 private:
  SafetensorsFile(std::string path, MappedFile file) : path_(std::move(path)), file_(std::move(file)) {}
  Status read_header();

  std::string path_;
  MappedFile file_;
  uint64_t data_start_ = 0;
  SafetensorsHeader header_;
  std::vector<uint32_t> by_name_;  // indices into the entries, sorted by name
};

}  // namespace padless
