#include "lib/encoder/packed_cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "lib/io/mapped_file.h"

namespace padless {
namespace {

constexpr size_t kAlignment = 64;
constexpr char kMagic[16] = "padless packed1";

struct Header {
  char magic[16];
  uint64_t bytes;     // of the file
  uint64_t index;     // where it begins; it ends the file
  uint64_t checksum;  // of all that follows the header
  char zeros[24];
};
static_assert(sizeof(Header) == kAlignment);

/** Four chains of multiplications over words of 8 bytes: finds damage, not forgery. */
class Checksum {
 public:
  void add(const char* data, size_t bytes) {
    size_t i = 0;
    for (; i + 32 <= bytes; i += 32) {
      for (size_t lane = 0; lane < 4; ++lane) {
        uint64_t word;
        std::memcpy(&word, data + i + lane * 8, sizeof word);
        mix(lane, word);
      }
    }
    for (; i < bytes; ++i) mix(i % 4, static_cast<unsigned char>(data[i]) + 0x100u);
    mix(0, bytes);
  }
  uint64_t value() const {
    uint64_t sum = 0;
    for (uint64_t lane : lanes_) sum = (sum ^ lane) * 0x9fb21c651e98df25ull;
    return sum ^ (sum >> 32);
  }

 private:
  void mix(size_t lane, uint64_t word) {
    lanes_[lane] = (lanes_[lane] ^ word) * 0x9e3779b97f4a7c15ull;
    lanes_[lane] ^= lanes_[lane] >> 29;
  }
  std::array<uint64_t, 4> lanes_ = {1, 2, 3, 4};
};

/** Of all that follows the header. `visited(begin, end)` is called after each piece that was read. */
template <class Visited>
uint64_t checksum_of(const MappedFile& file, const Visited& visited) {
  constexpr uint64_t kPiece = uint64_t{1} << 22;
  const auto* const data = reinterpret_cast<const char*>(file.data());
  Checksum checksum;
  for (uint64_t begin = sizeof(Header); begin < file.size(); begin += kPiece) {
    const uint64_t end = std::min(file.size(), begin + kPiece);
    checksum.add(data + begin, end - begin);
    visited(begin, end);
  }
  return checksum.value();
}

/** Numbers and strings of the index, one after the other. */
class IndexWriter {
 public:
  void number(uint64_t value) { text_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void string(const std::string& value) {
    number(value.size());
    text_ += value;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

class IndexReader {
 public:
  explicit IndexReader(std::span<const char> bytes) : rest_(bytes) {}
  bool is_ok() const { return ok_; }
  uint64_t number() {
    uint64_t value = 0;
    if (const char* at = take(sizeof value)) std::memcpy(&value, at, sizeof value);
    return value;
  }
  std::string string() {
    const uint64_t size = number();
    const char* at = take(size);
    return at ? std::string(at, size) : std::string();
  }

 private:
  const char* take(uint64_t bytes) {
    ok_ = ok_ && bytes <= rest_.size();
    if (!ok_) return nullptr;
    const char* at = rest_.data();
    rest_ = rest_.subspan(bytes);
    return at;
  }
  std::span<const char> rest_;
  bool ok_ = true;
};

/** A file that is written beside its place and moved there when it is whole. */
class NewFile {
 public:
  explicit NewFile(const std::string& path) : path_(path) {
    static std::atomic<uint64_t> count{0};
    // A name may be taken: in every container the process has the same id, and one that was killed leaves its
    // file.
    do {
      temporary_ = concat(path, ".", ::getpid(), ".", count++, ".partial");
      descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    } while (descriptor_ < 0 && errno == EEXIST);
    if (descriptor_ < 0) error_ = errno;
  }
  ~NewFile() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    if (!published_) ::unlink(temporary_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void write(const char* data, size_t bytes, uint64_t at) {
    while (error_ == 0 && bytes > 0) {
      const ssize_t count = ::pwrite(descriptor_, data, bytes, static_cast<off_t>(at));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        error_ = count < 0 ? errno : EIO;
        return;
      }
      data += count;
      bytes -= static_cast<size_t>(count);
      at += static_cast<uint64_t>(count);
    }
  }
  /** Puts the header, with the checksum of what was written after it, in its place, and the file in its own.
   */
  Status publish(Header header) {
    Result<MappedFile> written = MappedFile::open(temporary_);
    if (error_ == 0) PADLESS_RETURN_IF_ERROR(written.status());
    if (error_ == 0 && written.value().size() == header.bytes) {
      // The weights are in memory already; their copy in the file need not be.
      const MappedFile& file = written.value();
      header.checksum = checksum_of(file, [&](uint64_t begin, uint64_t end) { file.release(begin, end); });
      write(reinterpret_cast<const char*>(&header), sizeof header, 0);
    } else if (error_ == 0) {
      error_ = EIO;
    }
    published_ = error_ == 0 && ::rename(temporary_.c_str(), path_.c_str()) == 0;
    if (error_ == 0 && !published_) error_ = errno;
    PADLESS_CHECK(error_ == 0, Code::kNotFound, "cacheDir", path_,
                  " could not be written: ", std::strerror(error_), "; every load packs the weights again");
    return Status::ok();
  }

 private:
  const std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
  int error_ = 0;
  bool published_ = false;
};

uint64_t aligned(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

PackedCache::PackedCache(PackedLinearEngine& engine, std::string path, const std::string& key)
    : engine_(engine), path_(std::move(path)), key_(concat(key, "\n", engine.packing())) {
  read();
}

void PackedCache::read() {
  Result<MappedFile> opened = MappedFile::open(path_);
  if (!opened.is_ok()) return;
  const auto file = std::make_shared<const MappedFile>(opened.take());
  const auto* const begin = reinterpret_cast<const char*>(file->data());
  Header header;
  if (file->size() < sizeof header) return;
  std::memcpy(&header, begin, sizeof header);
  constexpr Header kEmpty = {};
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 ||
      std::memcmp(header.zeros, kEmpty.zeros, sizeof header.zeros) != 0 || header.bytes != file->size() ||
      header.index < sizeof header || header.index > file->size()) {
    return;
  }
  // The key comes first: a file of something else needs no sum.
  IndexReader index({begin + header.index, file->size() - header.index});
  if (index.string() != key_) return;
  if (checksum_of(*file, [](uint64_t, uint64_t) {}) != header.checksum) return;

  std::map<std::string, PackedLinear> found;
  const uint64_t count = index.number();
  for (uint64_t i = 0; i < count && index.is_ok(); ++i) {
    const std::string name = index.string();
    PackedLinear weight;
    weight.compute = static_cast<ComputeType>(index.number());
    weight.in_features = static_cast<int64_t>(index.number());
    weight.out_features = static_cast<int64_t>(index.number());
    weight.glu = index.number() != 0;
    for (std::span<const char>& part : weight.parts) {
      const uint64_t at = index.number();
      const uint64_t bytes = index.number();
      if (!index.is_ok() || at % kAlignment != 0 || at > header.index || bytes > header.index - at) return;
      part = {begin + at, bytes};
    }
    weight.owner = file;
    found.emplace(name, std::move(weight));
  }
  if (index.is_ok()) stored_ = std::move(found);
}

std::shared_ptr<const LinearWeight> PackedCache::find(const std::string& name, ComputeType compute,
                                                      int64_t in, int64_t out, bool glu) {
  const auto found = stored_.find(name);
  std::shared_ptr<const LinearWeight> weight;
  if (found != stored_.end()) {
    const PackedLinear& packed = found->second;
    if (packed.compute == compute && packed.in_features == in && packed.out_features == out &&
        packed.glu == glu) {
      weight = engine_.adopt_linear(packed);
    }
  }
  if (weight) {
    keep(name, weight);
  } else {
    missed_ = true;
  }
  return weight;
}

void PackedCache::keep(const std::string& name, std::shared_ptr<const LinearWeight> weight) {
  kept_.emplace_back(name, std::move(weight));
}

Status PackedCache::write() const {
  if (!missed_) return Status::ok();
  static constexpr std::array<char, kAlignment> kZeros = {};
  NewFile file(path_);
  Header header = {};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  IndexWriter index;
  index.string(key_);
  index.number(kept_.size());
  uint64_t at = sizeof header;
  for (const auto& [name, weight] : kept_) {
    const PackedLinear packed = engine_.packed_linear(*weight);
    index.string(name);
    index.number(static_cast<uint64_t>(packed.compute));
    index.number(static_cast<uint64_t>(packed.in_features));
    index.number(static_cast<uint64_t>(packed.out_features));
    index.number(packed.glu);
    for (const std::span<const char>& part : packed.parts) {
      index.number(at);
      index.number(part.size());
      file.write(part.data(), part.size(), at);
      file.write(kZeros.data(), aligned(part.size()) - part.size(), at + part.size());
      at += aligned(part.size());
    }
  }
  header.index = at;
  file.write(index.text().data(), index.text().size(), at);
  header.bytes = at + index.text().size();
  return file.publish(header);
}

}  // namespace padless
