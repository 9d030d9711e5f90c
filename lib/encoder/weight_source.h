// Where an encoder's tensors come from, under padless's own names ("layers.0.attention.query.weight").
#pragma once

#include <string>

#include "lib/core/status.h"
#include "lib/engine/weights.h"

namespace padless {

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual bool has(const std::string& name) const = 0;
  /** E_BAD_WEIGHTS naming the checkpoint's own tensor if it is missing, not finite, or of an unusable dtype.
   */
  virtual Result<HostTensor> tensor(const std::string& name) const = 0;
  /** The tensor has been packed: its pages may leave memory. */
  virtual void release(const std::string& name) const = 0;
  /** The checkpoint's own name, for messages. */
  virtual std::string label(const std::string& name) const = 0;
};

}  // namespace padless
