// Arrays from one storage type to another.
#pragma once

#include <cstdint>

#include "lib/core/dtype.h"

namespace padless {

/** f32, f16 or bf16. */
constexpr bool is_float_dtype(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

/** Float dtypes convert into each other, others stay; addresses need no alignment (a mapped file promises
 * none). */
void convert_elements(const void* from, DType from_dtype, void* to, DType to_dtype, int64_t count);

}  // namespace padless
