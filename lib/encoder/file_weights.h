// An encoder's tensors in safetensors files.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lib/encoder/weight_source.h"
#include "lib/io/safetensors.h"

namespace padless {

/** Rows of a stored tensor, or matrices of a stack: part `index` of `parts` equal ones, within each of
 * `groups` equal groups. */
struct RowPart {
  int64_t index = 0;
  int64_t parts = 1;
  int64_t groups = 1;
};

class FileWeights : public WeightSource {
 public:
  /** `name` is padless's; kBadWeights if the file has no tensor `label`, or its rows cannot be cut so. */
  Status add(const std::string& name, std::shared_ptr<const SafetensorsFile> file, const std::string& label,
             const RowPart& part = {});

  bool has(const std::string& name) const override { return locations_.contains(name); }
  Result<HostTensor> tensor(const std::string& name) const override;
  void release(const std::string& name) const override;
  std::string label(const std::string& name) const override;

 private:
  struct Location {
    std::shared_ptr<const SafetensorsFile> file;
    const SafetensorsEntry* entry;
    RowPart part;
  };
  /** The part's rows, in place where they follow each other. */
  HostTensor cut(const std::string& name, const HostTensor& whole, const RowPart& part) const;

  std::map<std::string, Location> locations_;
  mutable std::map<std::string, std::vector<char>> gathered_;  // parts whose rows do not follow each other
};

}  // namespace padless
