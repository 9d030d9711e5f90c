// A file mapped read-only into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/core/status.h"

namespace padless {

/**
 * Only regular files: a FIFO, a device, a socket or a directory is refused before it can block.
 *
 * The mapping is of the file, not of a copy: whoever truncates the file while it is mapped turns the pages
 * beyond its new end into SIGBUS for every reader of them, and so does a failing disk. check_size() tells
 * before the pages are touched; only the instant between the check and the touch stays open. Writers that
 * replace a file by rename, as all package managers and the Hugging Face cache do, are harmless: the mapping
 * keeps the old file.
 */
class MappedFile {
 public:
  /** kNotFound if nothing is there; kBadWeights if it cannot be opened, mapped or is no regular file;
   * kOutOfMemory without the address space for it. */
  static Result<MappedFile> open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }

  /** kBadWeights if the file's size has changed since it was mapped. */
  Status check_size() const;

  /** Lets go of the resident pages of [begin, end); they come back from the page cache when read again. */
  void release(uint64_t begin, uint64_t end) const;

 private:
  explicit MappedFile(std::string path) : path_(std::move(path)) {}

  std::string path_;
  int descriptor_ = -1;
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace padless
