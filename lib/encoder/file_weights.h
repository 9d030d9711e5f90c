// An encoder's tensors in safetensors files.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "lib/encoder/weight_source.h"
#include "lib/io/safetensors.h"

namespace padless {

class FileWeights : public WeightSource {
 public:
  /** `name` is padless's; kBadWeights if the file has no tensor `label`. */
  Status add(const std::string& name, std::shared_ptr<const SafetensorsFile> file, const std::string& label);

  bool has(const std::string& name) const override { return locations_.contains(name); }
  Result<HostTensor> tensor(const std::string& name) const override;
  void release(const std::string& name) const override;
  std::string label(const std::string& name) const override;

 private:
  struct Location {
    std::shared_ptr<const SafetensorsFile> file;
    const SafetensorsEntry* entry;
  };
  std::map<std::string, Location> locations_;
};

}  // namespace padless
