#include "lib/encoder/file_weights.h"

#include "lib/io/finite.h"

namespace padless {

Status FileWeights::add(const std::string& name, std::shared_ptr<const SafetensorsFile> file,
                        const std::string& label) {
  const SafetensorsEntry* entry = file->find(label);
  PADLESS_CHECK(entry != nullptr, Code::kBadWeights, label, file->path(), " has no tensor ",
                quoted_name(label));
  locations_[name] = {std::move(file), entry};
  return Status::ok();
}

Result<HostTensor> FileWeights::tensor(const std::string& name) const {
  const auto found = locations_.find(name);
  PADLESS_CHECK(found != locations_.end(), Code::kBadWeights, name, "the checkpoint has no tensor for \"",
                name, "\"; it does not hold this kind of model, or not all of it");
  const auto& [file, entry] = found->second;
  Result<HostTensor> tensor = file->tensor(*entry);
  if (!tensor.is_ok()) return tensor;
  PADLESS_RETURN_IF_ERROR(check_finite(tensor.value(), entry->name));
  return tensor;
}

void FileWeights::release(const std::string& name) const {
  if (const auto found = locations_.find(name); found != locations_.end()) {
    found->second.file->release(*found->second.entry);
  }
}

std::string FileWeights::label(const std::string& name) const {
  const auto found = locations_.find(name);
  return found == locations_.end() ? name : found->second.entry->name;
}

}  // namespace padless
