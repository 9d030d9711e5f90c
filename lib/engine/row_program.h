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

/** Whether a GPU computes a product and the norm of its rows in one kernel, where it has one. */
enum class NormFusion {
  kAuto,    // where that is expected to be faster
  kAlways,  // however many rows there are
  kNever,
};

/** Index into RowProgram::slots. */
using Slot = int;
inline constexpr Slot kNoSlot = -1;

struct RowSlot {
  int64_t cols = 0;
  /** Index into the matrices bound at run time, or -1: a temporary that lives within the program only. */
  int binding = -1;
};

/**
 * out = activation(in * weight^T + bias) + residual; a GLU weight gives activation(gate) * up instead. With
 * `residual_first`, which no GLU has: activation(in * weight^T + bias + residual).
 */
struct LinearStep {
  std::shared_ptr<const LinearWeight> weight;
  Slot in = kNoSlot;
  Slot out = kNoSlot;       // never the same slot as `in`
  Slot residual = kNoSlot;  // may be the same slot as `out`
  Activation activation = Activation::kNone;
  bool residual_first = false;
};

/**
 * Over the columns of a row of x = in + residual, statistics in fp32, two-pass; `add` is added to the result:
 * layer: (x - mean) / sqrt(var + eps) * gamma + beta + add;  rms: x / sqrt(mean(x^2) + eps) * gamma + add.
 */
struct NormStep {
  NormKind kind = NormKind::kLayer;
  std::shared_ptr<const DeviceTensor> gamma;  // f32 [cols]
  std::shared_ptr<const DeviceTensor> beta;   // f32 [cols], or null
  float eps = 1e-12f;
  Slot in = kNoSlot;
  Slot out = kNoSlot;       // may be the same slot as `in`
  Slot residual = kNoSlot;  // not the same slot as `out`
  Slot add = kNoSlot;       // may be the same slot as `out`
};

/** RMS norm of each head of a row, in place: Qwen3's and Gemma's q_norm and k_norm. */
struct HeadNormStep {
  std::shared_ptr<const DeviceTensor> gamma;  // f32 [head_dim]
  float eps = 1e-6f;
  Slot data = kNoSlot;
  int64_t first_column = 0;  // of the first head; the heads follow each other
  int64_t heads = 0;
  int64_t head_dim = 0;
};

/**
 * Rotates each head of a row in place (RoFormer, arXiv:2104.09864): with r = rotary_dim / 2, columns i and i
 * + r of a head (interleaved: 2i and 2i + 1) turn by the angle whose cosine and sine are columns i and r + i
 * of `table`; columns from rotary_dim on stay.
 */
struct RopeStep {
  Slot data = kNoSlot;
  Slot table = kNoSlot;      // f32 [rows, rotary_dim]: cosines, then sines, of the row's position
  int64_t first_column = 0;  // of the first head; the heads follow each other
  int64_t heads = 0;
  int64_t head_dim = 0;
  int64_t rotary_dim = 0;  // even, at most head_dim
  bool interleaved = false;
};

/** One of the feed-forwards that an ExpertsStep chooses from: down(activation(up(x))). */
struct Expert {
  std::shared_ptr<const LinearWeight> up, down;
};

/**
 * out = residual + bias + sum of score[e] * experts[e](in) over the `chosen` experts of the largest scores,
 * in the experts' order; score = softmax(router(in)) over all experts, the chosen ones not scaled to a sum
 * of 1. Slots are bound; `out` is none of the others.
 */
struct ExpertsStep {
  std::shared_ptr<const LinearWeight> router;  // f32, [experts] without a bias
  std::vector<Expert> experts;                 // in the activations' precision
  int64_t chosen = 0;
  Activation activation = Activation::kNone;
  std::shared_ptr<const DeviceTensor> bias;  // f32 [cols of out], or null
  Slot in = kNoSlot;
  Slot out = kNoSlot;
  Slot residual = kNoSlot;
};

/** out = in / max(||in||_2, eps): torch.nn.functional.normalize, eps 1e-12. */
struct L2NormalizeStep {
  Slot in = kNoSlot;
  Slot out = kNoSlot;  // may be the same slot as `in`
};

using RowStep = std::variant<LinearStep, NormStep, L2NormalizeStep, HeadNormStep, RopeStep, ExpertsStep>;

struct RowProgram {
  std::vector<RowSlot> slots;
  std::vector<RowStep> steps;
  /** The first product after this program's last, or null: an engine may fetch it ahead. */
  std::shared_ptr<const LinearWeight> next;

  Slot bound(int binding, int64_t cols) {
    slots.push_back({cols, binding});
    return static_cast<Slot>(slots.size()) - 1;
  }
  Slot temporary(int64_t cols) {
    slots.push_back({cols, -1});
    return static_cast<Slot>(slots.size()) - 1;
  }
};

/** E_INVALID_ARGUMENT unless the step's weights lead from `in_cols` to `out_cols` columns. */
Status check_experts(const ExpertsStep& step, int64_t in_cols, int64_t out_cols);

}  // namespace padless
