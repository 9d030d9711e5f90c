// The engine that runs on a GPU, over the launch API of cuda/padless_cuda.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/engine/attention_strategy.h"
#include "lib/engine/engine.h"

namespace padless {

struct CudaEngineOptions {
  /** A sequence has the same bits alone and in any batch: no split-K. Attention's kernel follows from the
   * sequence's own length by every strategy. */
  bool batch_invariant = false;
  /** Forwards over short batches are captured as CUDA graphs and replayed. Bits are the same without. */
  bool graphs = true;
  /** Kernels start while the one before still runs, from compute capability 9.0 on; not measured. Bits are
   * the same without. */
  bool overlap = false;
  /** Products with the norm of their rows, on compute capability 9.0; not measured. kAuto is kNever where
   * bits are to be batch invariant: whether it pays depends on the batch. */
  NormFusion norm_fusion = NormFusion::kAuto;
  /** Capacities are the batches' own. */
  AttentionPlanOptions attention;
};

/** A GPU as the process sees it. */
struct CudaListing {
  std::string name;
  std::string reason = {};                 // why it cannot be used; empty if it can
  std::string description = {}, isa = {};  // of one that can
};

/** At least one: where there is no GPU, its listing says why. Opens none, which would take memory of each. */
std::vector<CudaListing> list_cuda_devices();

/** E_DEVICE with the reason if there is no such device, or it cannot be used. */
Result<std::shared_ptr<Engine>> create_cuda_engine(const std::string& name, const CudaEngineOptions& options);

}  // namespace padless
