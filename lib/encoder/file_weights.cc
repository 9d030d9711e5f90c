#include "lib/encoder/file_weights.h"

#include <cstring>

#include "lib/io/finite.h"

namespace padless {

Status FileWeights::add(const std::string& name, std::shared_ptr<const SafetensorsFile> file,
                        const std::string& label, const RowPart& part) {
  const SafetensorsEntry* entry = file->find(label);
  PADLESS_CHECK(entry != nullptr, Code::kBadWeights, label, file->path(), " has no tensor ",
                quoted_name(label));
  const int64_t pieces = part.parts * part.groups;
  PADLESS_CHECK(pieces > 0 && part.index >= 0 && part.index < part.parts &&
                    (pieces == 1 || (!entry->shape.empty() && entry->shape[0] % pieces == 0)),
                Code::kBadWeights, label, quoted_name(label), " cannot be cut into ", part.groups, " times ",
                part.parts, " equal parts of its rows");
  locations_[name] = {std::move(file), entry, part};
  return Status::ok();
}

HostTensor FileWeights::cut(const std::string& name, const HostTensor& whole, const RowPart& part) const {
  const int64_t block = whole.shape[0] / (part.groups * part.parts);
  HostTensor tensor = whole;
  tensor.shape[0] = block * part.groups;
  const size_t bytes = static_cast<size_t>(whole.elements() / (part.groups * part.parts)) *
                       dtype_size(whole.dtype);  // of a block
  const char* first = static_cast<const char*>(whole.data) + static_cast<size_t>(part.index) * bytes;
  tensor.data = first;
  if (part.groups == 1) return tensor;
  std::vector<char>& memory = gathered_[name];
  memory.resize(bytes * static_cast<size_t>(part.groups));
  for (size_t group = 0; group < static_cast<size_t>(part.groups); ++group) {
    std::memcpy(memory.data() + group * bytes, first + group * static_cast<size_t>(part.parts) * bytes,
                bytes);
  }
  tensor.data = memory.data();
  return tensor;
}

Result<HostTensor> FileWeights::tensor(const std::string& name) const {
  const auto found = locations_.find(name);
  PADLESS_CHECK(found != locations_.end(), Code::kBadWeights, name, "the checkpoint has no tensor for \"",
                name, "\"; it does not hold this kind of model, or not all of it");
  const auto& [file, entry, part] = found->second;
  Result<HostTensor> whole = file->tensor(*entry);
  if (!whole.is_ok()) return whole;
  HostTensor tensor = part.parts * part.groups == 1 ? whole.take() : cut(name, whole.value(), part);
  PADLESS_RETURN_IF_ERROR(check_finite(tensor, entry->name));
  // A stack of one matrix is that matrix.
  if (tensor.shape.size() == 3 && tensor.shape[0] == 1) tensor.shape.erase(tensor.shape.begin());
  if (part.groups == 1) {
    tensor.let_go = [owner = file, data = tensor.data](size_t begin, size_t end) {
      owner->release(data, begin, end);
    };
  }
  return tensor;
}

void FileWeights::release(const std::string& name) const {
  gathered_.erase(name);
  if (const auto found = locations_.find(name); found != locations_.end()) {
    found->second.file->release(*found->second.entry);
  }
}

std::string FileWeights::label(const std::string& name) const {
  const auto found = locations_.find(name);
  return found == locations_.end() ? name : found->second.entry->name;
}

}  // namespace padless
