#include "lib/io/safetensors.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace padless {

namespace {

constexpr uint64_t kLengthBytes = 8;

constexpr const char* kFix = ". The file is damaged or not safetensors: download or export it again";

std::string base_name(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

uint64_t little_endian_u64(const std::byte* bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | static_cast<uint64_t>(bytes[i]);
  return value;
}

}  // namespace

Result<std::shared_ptr<const SafetensorsFile>> SafetensorsFile::open(const std::string& path) {
  Result<MappedFile> mapped = MappedFile::open(path);
  if (!mapped.is_ok()) {
    return Status(mapped.status().code(), mapped.status().message(), base_name(path));
  }
  std::shared_ptr<SafetensorsFile> file(new SafetensorsFile(path, mapped.take()));
  const Status status = file->read_header();
  if (!status.is_ok()) {
    return Status(status.code(), concat(path, ": ", status.message(), kFix),
                  status.field().empty() ? base_name(path) : status.field());
  }
  return std::shared_ptr<const SafetensorsFile>(std::move(file));
}

Status SafetensorsFile::read_header() {
  const auto bad = [](const std::string& message) { return Status(Code::kBadWeights, message); };
  const uint64_t size = file_.size();
  if (size < kLengthBytes) return bad(concat("the file is truncated at ", size, " bytes"));
  const uint64_t length = little_endian_u64(file_.data());
  if (length > kMaxSafetensorsHeader) {
    return bad(concat("the header claims ", length, " bytes; the format allows ", kMaxSafetensorsHeader));
  }
  if (length > size - kLengthBytes) {
    return bad(concat("the header claims ", length, " bytes, but the file is truncated at ", size));
  }
  data_start_ = kLengthBytes + length;
  const std::string_view json(reinterpret_cast<const char*>(file_.data()) + kLengthBytes, length);
  Result<SafetensorsHeader> header = parse_safetensors_header(json, size - data_start_);
  if (!header.is_ok()) return header.status();
  header_ = header.take();
  file_.release(0, data_start_);
  by_name_.resize(header_.entries.size());
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  std::sort(by_name_.begin(), by_name_.end(),
            [&](uint32_t a, uint32_t b) { return header_.entries[a].name < header_.entries[b].name; });
  return Status::ok();
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  const auto found = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [&](uint32_t index, std::string_view wanted) { return header_.entries[index].name < wanted; });
  if (found == by_name_.end() || header_.entries[*found].name != name) return nullptr;
  return &header_.entries[*found];
}

Result<HostTensor> SafetensorsFile::tensor(const SafetensorsEntry& entry) const {
  PADLESS_CHECK(entry.dtype->dtype.has_value(), Code::kUnsupported, entry.name, path_, ": tensor ",
                quoted_name(entry.name), " is ", entry.dtype->name,
                "; weights may be F32, F16 or BF16, so convert it");
  const Status unchanged = file_.check_size();
  if (!unchanged.is_ok()) return Status(unchanged.code(), unchanged.message(), base_name(path_));
  return HostTensor{file_.data() + data_start_ + entry.begin, *entry.dtype->dtype, entry.shape};
}

void SafetensorsFile::release(const SafetensorsEntry& entry) const {
  file_.release(data_start_ + entry.begin, data_start_ + entry.end);
}

void SafetensorsFile::release(const void* data, size_t begin, size_t end) const {
  const auto first = static_cast<uint64_t>(static_cast<const std::byte*>(data) - file_.data());
  file_.release(first + begin, first + end);
}

}  // namespace padless
