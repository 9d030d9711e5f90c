#include "lib/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace padless {

namespace {

Status open_error(const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR) {
    return Status(Code::kNotFound, concat(path, ": there is no such file"));
  }
  // ENXIO: a socket, or a device without its driver.
  if (error == ENXIO) return Status(Code::kBadWeights, concat(path, ": this is not a regular file"));
  return Status(Code::kBadWeights, concat(path, ": cannot be opened: ", std::strerror(error)));
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  if (path.find('\0') != std::string::npos) {
    return Status(Code::kBadWeights, "a file name must not hold a NUL character");
  }
  MappedFile file(path);
  // O_NONBLOCK: opening a FIFO would otherwise wait for its writer.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) return open_error(path, errno);
  file.descriptor_ = descriptor;
  struct stat info;
  if (::fstat(descriptor, &info) != 0) return open_error(path, errno);
  PADLESS_CHECK(S_ISREG(info.st_mode), Code::kBadWeights, "", path, ": this is not a regular file");
  file.size_ = static_cast<uint64_t>(info.st_size);
  if (file.size_ == 0) return file;
  void* const mapping = ::mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (mapping == MAP_FAILED) {
    // Address space: the process has a limit (ulimit -v), or 32 bits.
    const Code code = errno == ENOMEM ? Code::kOutOfMemory : Code::kBadWeights;
    return Status(code, concat(path, ": cannot be mapped: ", std::strerror(errno)));
  }
  file.data_ = static_cast<std::byte*>(mapping);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(data_, size_);
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status MappedFile::check_size() const {
  struct stat info;
  PADLESS_CHECK(::fstat(descriptor_, &info) == 0 && static_cast<uint64_t>(info.st_size) == size_,
                Code::kBadWeights, "", path_,
                ": the file changed while it was being read; load it again when nothing writes to it");
  return Status::ok();
}

void MappedFile::release(uint64_t begin, uint64_t end) const {
  if (!data_ || begin >= end) return;
  // Whole pages, neighbours' bytes included: what is still needed comes back from the page cache.
  const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t first = begin / page * page;
  ::madvise(data_ + first, end - first, MADV_DONTNEED);
}

}  // namespace padless
