// Vec: as many floats as a register of the translation unit's instruction set holds, and the verbs on it.
//
// Every instruction set has the same verbs: zero, broadcast, load, store (whole, or the first n lanes: the
// others load as 0 and stay as they are in memory), load_bf16, load_f16, + - * /, quotient (a / b within 2
// ulp where b and a / b are far from 0 and infinity), fma(a, b, c) = a * b + c, fnma(a, b, c) = c - a * b,
// max, min (NaN in the second operand wins), abs, sqrt, round (to nearest even), scale_by_power_of_two(x, n)
// for whole n, copy_sign, where_less(a, b, x, y) = a < b ? x : y a lane, reduce_add, reduce_max (a fixed
// tree, so the same bits every time).
#pragma once

#include "lib/engine/cpu/simd/target.h"

#if defined(PADLESS_ISA_AVX512)
#include "lib/engine/cpu/simd/vec_avx512.h"
#elif defined(PADLESS_ISA_AVX2)
#include "lib/engine/cpu/simd/vec_avx2.h"
#elif defined(PADLESS_ISA_NEON)
#include "lib/engine/cpu/simd/vec_neon.h"
#else
#include "lib/engine/cpu/simd/vec_portable.h"
#endif
