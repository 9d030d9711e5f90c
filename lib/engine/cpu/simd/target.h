// Which instruction set this translation unit is compiled for.
//
// A kernel source is compiled once an instruction set (sources.json, "isa"). The linker keeps one copy of an
// inline function or template that several objects share, and must never keep an AVX-512 copy for everyone:
// so kernel sources include no standard library templates, and all they share lies in unnamed namespaces.
// What a kernel source exports lies in `namespace padless::PADLESS_ISA`. Every arm64 compiler has NEON, so
// its macros cannot tell the portable unit from the NEON one: the latter's flags define PADLESS_NEON.
#pragma once

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define PADLESS_ISA avx512
#define PADLESS_ISA_AVX512 1
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define PADLESS_ISA avx2
#define PADLESS_ISA_AVX2 1
#elif defined(PADLESS_NEON)
#define PADLESS_ISA neon
#define PADLESS_ISA_NEON 1
#else
#define PADLESS_ISA portable
#endif
