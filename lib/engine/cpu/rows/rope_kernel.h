// Rotation of heads by their row's position; one function an instruction set.
#pragma once

#include <cstdint>

#include "lib/engine/cpu/isa.h"

namespace padless {

struct RopeTask {
  float* data = nullptr;  // [rows, heads * head_dim], in place
  int64_t stride = 0;
  const float* table = nullptr;  // [rows, rotary_dim]: cosines, then sines
  int64_t table_stride = 0;
  int64_t rows = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;
  int64_t rotary_dim = 0;
  bool interleaved = false;
};

/** See RopeStep in lib/engine/row_program.h. */
using RopeKernel = void (*)(const RopeTask& task);

RopeKernel select_rope_kernel(const CpuIsa& isa);

}  // namespace padless
