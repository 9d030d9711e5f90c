// The launch API of what layers with experts need beside products; the rules of padless_cuda.h hold.
#pragma once

#include <cstdint>

#include "cuda/runtime.h"
#include "lib/core/matrix.h"
#include "lib/core/status.h"

namespace padless::cuda {

/** The softmax of the rows' logits, their `chosen` largest scores, and the rows of each expert, rising. */
struct RouteExpertsArgs {
  Matrix logits;               // f32 [rows, experts]
  int64_t chosen = 0;          // experts a row
  int32_t* choices = nullptr;  // [rows, chosen], the largest score first; of equals the first expert
  float* scores = nullptr;     // [rows, chosen]
  int32_t* list = nullptr;     // [experts, rows]: the first counts[e] of line e are the rows of expert e
  float* weights = nullptr;    // [experts, rows]: their scores
  int32_t* counts = nullptr;   // [experts]
  const int32_t* rows_on_device = nullptr;
};
Status route_experts(const RouteExpertsArgs& args, LaunchStream stream);

/** sum = residual + bias. */
struct StartExpertsArgs {
  Matrix residual;              // [rows, H]
  const float* bias = nullptr;  // [H], or null
  Matrix sum;                   // f32 [rows, H]
  const int32_t* rows_on_device = nullptr;
};
Status start_experts(const StartExpertsArgs& args, LaunchStream stream);

/** sum[list[i]] += weights[i] * result[i] for i < *count. */
struct AddExpertArgs {
  Matrix result;                   // [rows, H]
  const int32_t* list = nullptr;   // [rows], no row twice
  const float* weights = nullptr;  // [rows]
  const int32_t* count = nullptr;
  Matrix sum;  // f32 [rows, H]
};
Status add_expert(const AddExpertArgs& args, LaunchStream stream);

}  // namespace padless::cuda
