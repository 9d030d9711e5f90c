// A row program is a list of steps in which row t of every result depends on row t of the operands alone.
//
// Between two attentions an encoder layer is nothing but such steps: out projection + residual + norm, the
// feed-forward, the next layer's QKV projection. Handing the engine the whole list lets each device choose:
// the CPU runs all steps on one block of rows while the block is in L2; a GPU launches one kernel a step.
// A program is built once per model; only the bound matrices and the row count change from batch to batch.
#pragma once

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "lib/engine/activation.h"
#include "lib/engine/weights.h"

namespace padless {

enum class NormKind { kLayer, kRms };

/** Index into RowProgram::slots. */
using Slot = int;
inline constexpr Slot kNoSlot = -1;

struct RowSlot {
  int64_t cols = 0;
  /** Index into the matrices bound at run time, or -1: a temporary that lives within the program only. */
  int binding = -1;
};

/** out = activation(in * weight^T + bias) + residual; a GLU weight gives activation(gate) * up instead. */
struct LinearStep {
  std::shared_ptr<const LinearWeight> weight;
  Slot in = kNoSlot;
  Slot out = kNoSlot;       // never the same slot as `in`
  Slot residual = kNoSlot;  // may be the same slot as `out`
  Activation activation = Activation::kNone;
};

/**
 * Over the columns of a row of x = in + residual, statistics in fp32, two-pass:
 * layer: (x - mean) / sqrt(var + eps) * gamma + beta;  rms: x / sqrt(mean(x^2) + eps) * gamma.
 */
struct NormStep {
  NormKind kind = NormKind::kLayer;
  std::shared_ptr<const DeviceTensor> gamma;  // f32 [cols]
  std::shared_ptr<const DeviceTensor> beta;   // f32 [cols], or null
  float eps = 1e-12f;
  Slot in = kNoSlot;
  Slot out = kNoSlot;       // may be the same slot as `in`
  Slot residual = kNoSlot;  // not the same slot as `out`
};

/** out = in / max(||in||_2, eps): torch.nn.functional.normalize, eps 1e-12. */
struct L2NormalizeStep {
  Slot in = kNoSlot;
  Slot out = kNoSlot;  // may be the same slot as `in`
};

using RowStep = std::variant<LinearStep, NormStep, L2NormalizeStep>;

struct RowProgram {
  std::vector<RowSlot> slots;
  std::vector<RowStep> steps;

  Slot bound(int binding, int64_t cols) {
    slots.push_back({cols, binding});
    return static_cast<Slot>(slots.size()) - 1;
  }
  Slot temporary(int64_t cols) {
    slots.push_back({cols, -1});
    return static_cast<Slot>(slots.size()) - 1;
  }
};

}  // namespace padless
