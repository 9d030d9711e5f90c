// The engines of this process: one a device and configuration, shared by all environments and kept to the
// end.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/core/status.h"
#include "lib/engine/attention_strategy.h"
#include "lib/engine/engine.h"

namespace padless::binding {

struct EngineOptions {
  int threads = 0;               // CPU: the most threads one op uses; 0: all this process may use
  std::string isa = "auto";      // CPU: "auto", "avx512", "avx2", "neon" or "portable"
  bool batch_invariant = false;  // a sequence has the same bits in every batch
  bool graphs = true;            // GPU: forwards over short batches are recorded and replayed
  bool overlap = false;          // GPU: kernels start while the one before still runs
  NormFusion norm_fusion = NormFusion::kAuto;  // GPU: products with the norm of their rows
  AttentionPlanOptions attention;              // GPU: its launches; capacities are the batches' own
};

/** A device as the process sees it, usable or not. */
struct DeviceListing {
  std::string name;
  std::string kind;                        // "cpu", "cuda", in the tests' addon "emulator"
  std::string reason;                      // why it cannot be used; empty if it can
  std::string description = {}, isa = {};  // of a GPU that can
};

std::vector<DeviceListing> list_devices();

/** Any thread. `name` is a canonical one, such as "cpu" or "cuda:0"; E_DEVICE with the reason if it cannot be
 * had. */
Result<std::shared_ptr<Engine>> engine_for(const std::string& name, const EngineOptions& options);

}  // namespace padless::binding
