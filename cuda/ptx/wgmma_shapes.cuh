// The register lists of wgmma.mma_async for every n: PTX wants them spelled out, so this table spells them
// once.
//
// WgmmaShape<n> issues m64 n k16 with fp32 accumulators d[n / 2]: `from_shared` takes two matrix
// descriptors, `from_registers` a fragment of A; `from_shared_e4m3` issues m64 n k32. In the asm, %0 ..
// %(n/2 - 1) are d, then come the inputs.
#pragma once

#include "cuda/platform.cuh"

namespace padless::cuda::ptx {

template <int kN>
struct WgmmaShape;

#define WGMMA_D4(i) "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3])
#define WGMMA_D_8 WGMMA_D4(0)
#define WGMMA_D_16 WGMMA_D_8, WGMMA_D4(4)
#define WGMMA_D_24 WGMMA_D_16, WGMMA_D4(8)
#define WGMMA_D_32 WGMMA_D_24, WGMMA_D4(12)
#define WGMMA_D_40 WGMMA_D_32, WGMMA_D4(16)
#define WGMMA_D_48 WGMMA_D_40, WGMMA_D4(20)
#define WGMMA_D_56 WGMMA_D_48, WGMMA_D4(24)
#define WGMMA_D_64 WGMMA_D_56, WGMMA_D4(28)
#define WGMMA_D_72 WGMMA_D_64, WGMMA_D4(32)
#define WGMMA_D_80 WGMMA_D_72, WGMMA_D4(36)
#define WGMMA_D_88 WGMMA_D_80, WGMMA_D4(40)
#define WGMMA_D_96 WGMMA_D_88, WGMMA_D4(44)
#define WGMMA_D_104 WGMMA_D_96, WGMMA_D4(48)
#define WGMMA_D_112 WGMMA_D_104, WGMMA_D4(52)
#define WGMMA_D_120 WGMMA_D_112, WGMMA_D4(56)
#define WGMMA_D_128 WGMMA_D_120, WGMMA_D4(60)
#define WGMMA_D_136 WGMMA_D_128, WGMMA_D4(64)
#define WGMMA_D_144 WGMMA_D_136, WGMMA_D4(68)
#define WGMMA_D_152 WGMMA_D_144, WGMMA_D4(72)
#define WGMMA_D_160 WGMMA_D_152, WGMMA_D4(76)
#define WGMMA_D_168 WGMMA_D_160, WGMMA_D4(80)
#define WGMMA_D_176 WGMMA_D_168, WGMMA_D4(84)
#define WGMMA_D_184 WGMMA_D_176, WGMMA_D4(88)
#define WGMMA_D_192 WGMMA_D_184, WGMMA_D4(92)
#define WGMMA_D_200 WGMMA_D_192, WGMMA_D4(96)
#define WGMMA_D_208 WGMMA_D_200, WGMMA_D4(100)
#define WGMMA_D_216 WGMMA_D_208, WGMMA_D4(104)
#define WGMMA_D_224 WGMMA_D_216, WGMMA_D4(108)
#define WGMMA_D_232 WGMMA_D_224, WGMMA_D4(112)
#define WGMMA_D_240 WGMMA_D_232, WGMMA_D4(116)
#define WGMMA_D_248 WGMMA_D_240, WGMMA_D4(120)
#define WGMMA_D_256 WGMMA_D_248, WGMMA_D4(124)

#define WGMMA_LIST_8 "%0, %1, %2, %3"
#define WGMMA_LIST_16 WGMMA_LIST_8 ", %4, %5, %6, %7"
#define WGMMA_LIST_24 WGMMA_LIST_16 ", %8, %9, %10, %11"
#define WGMMA_LIST_32 WGMMA_LIST_24 ", %12, %13, %14, %15"
#define WGMMA_LIST_40 WGMMA_LIST_32 ", %16, %17, %18, %19"
#define WGMMA_LIST_48 WGMMA_LIST_40 ", %20, %21, %22, %23"
#define WGMMA_LIST_56 WGMMA_LIST_48 ", %24, %25, %26, %27"
#define WGMMA_LIST_64 WGMMA_LIST_56 ", %28, %29, %30, %31"
#define WGMMA_LIST_72 WGMMA_LIST_64 ", %32, %33, %34, %35"
#define WGMMA_LIST_80 WGMMA_LIST_72 ", %36, %37, %38, %39"
#define WGMMA_LIST_88 WGMMA_LIST_80 ", %40, %41, %42, %43"
#define WGMMA_LIST_96 WGMMA_LIST_88 ", %44, %45, %46, %47"
#define WGMMA_LIST_104 WGMMA_LIST_96 ", %48, %49, %50, %51"
#define WGMMA_LIST_112 WGMMA_LIST_104 ", %52, %53, %54, %55"
#define WGMMA_LIST_120 WGMMA_LIST_112 ", %56, %57, %58, %59"
#define WGMMA_LIST_128 WGMMA_LIST_120 ", %60, %61, %62, %63"
#define WGMMA_LIST_136 WGMMA_LIST_128 ", %64, %65, %66, %67"
#define WGMMA_LIST_144 WGMMA_LIST_136 ", %68, %69, %70, %71"
#define WGMMA_LIST_152 WGMMA_LIST_144 ", %72, %73, %74, %75"
#define WGMMA_LIST_160 WGMMA_LIST_152 ", %76, %77, %78, %79"
#define WGMMA_LIST_168 WGMMA_LIST_160 ", %80, %81, %82, %83"
#define WGMMA_LIST_176 WGMMA_LIST_168 ", %84, %85, %86, %87"
#define WGMMA_LIST_184 WGMMA_LIST_176 ", %88, %89, %90, %91"
#define WGMMA_LIST_192 WGMMA_LIST_184 ", %92, %93, %94, %95"
#define WGMMA_LIST_200 WGMMA_LIST_192 ", %96, %97, %98, %99"
#define WGMMA_LIST_208 WGMMA_LIST_200 ", %100, %101, %102, %103"
#define WGMMA_LIST_216 WGMMA_LIST_208 ", %104, %105, %106, %107"
#define WGMMA_LIST_224 WGMMA_LIST_216 ", %108, %109, %110, %111"
#define WGMMA_LIST_232 WGMMA_LIST_224 ", %112, %113, %114, %115"
#define WGMMA_LIST_240 WGMMA_LIST_232 ", %116, %117, %118, %119"
#define WGMMA_LIST_248 WGMMA_LIST_240 ", %120, %121, %122, %123"
#define WGMMA_LIST_256 WGMMA_LIST_248 ", %124, %125, %126, %127"

// i0 .. i6: numbers of the asm operands after the accumulators.
#define WGMMA_FROM_SHARED(n, type, i0, i1, i2, i3, i4)                                                     \
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %" #i2 ", 0; wgmma.mma_async.sync.aligned.m64n" #n          \
               "k16.f32." type " {" WGMMA_LIST_##n "}, %" #i0 ", %" #i1 ", p, 1, 1, %" #i3 ", %" #i4 "; }" \
               : WGMMA_D_##n                                                                               \
               : "l"(a), "l"(b), "r"(scale_d), "n"(kMnMajorA), "n"(kMnMajorB))
#define WGMMA_FROM_SHARED_E4M3(n, i0, i1, i2)                                                     \
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %" #i2 ", 0; wgmma.mma_async.sync.aligned.m64n" #n \
               "k32.f32.e4m3.e4m3 {" WGMMA_LIST_##n "}, %" #i0 ", %" #i1 ", p, 1, 1; }"           \
               : WGMMA_D_##n                                                                      \
               : "l"(a), "l"(b), "r"(scale_d))
#define WGMMA_FROM_REGISTERS(n, type, i0, i1, i2, i3, i4, i5, i6)                                       \
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %" #i5 ", 0; wgmma.mma_async.sync.aligned.m64n" #n       \
               "k16.f32." type " {" WGMMA_LIST_##n "}, {%" #i0 ", %" #i1 ", %" #i2 ", %" #i3 "}, %" #i4 \
                                                   ", p, 1, 1, %" #i6 "; }"                             \
               : WGMMA_D_##n                                                                            \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(scale_d), "n"(kMnMajorB))

#define WGMMA_SHAPE(n, i0, i1, i2, i3, i4, i5, i6)                                                          \
  template <>                                                                                               \
  struct WgmmaShape<n> {                                                                                    \
    template <class T, int kMnMajorA, int kMnMajorB>                                                        \
    static DEVICE void from_shared(float (&d)[n / 2], uint64_t a, uint64_t b, int scale_d) {                \
      if constexpr (std::is_same_v<T, bf16>) {                                                              \
        WGMMA_FROM_SHARED(n, "bf16.bf16", i0, i1, i2, i3, i4);                                              \
      } else {                                                                                              \
        WGMMA_FROM_SHARED(n, "f16.f16", i0, i1, i2, i3, i4);                                                \
      }                                                                                                     \
    }                                                                                                       \
    static DEVICE void from_shared_e4m3(float (&d)[n / 2], uint64_t a, uint64_t b, int scale_d) {           \
      WGMMA_FROM_SHARED_E4M3(n, i0, i1, i2);                                                                \
    }                                                                                                       \
    template <class T, int kMnMajorB>                                                                       \
    static DEVICE void from_registers(float (&d)[n / 2], const uint32_t (&a)[4], uint64_t b, int scale_d) { \
      if constexpr (std::is_same_v<T, bf16>) {                                                              \
        WGMMA_FROM_REGISTERS(n, "bf16.bf16", i0, i1, i2, i3, i4, i5, i6);                                   \
      } else {                                                                                              \
        WGMMA_FROM_REGISTERS(n, "f16.f16", i0, i1, i2, i3, i4, i5, i6);                                     \
      }                                                                                                     \
    }                                                                                                       \
  };

WGMMA_SHAPE(8, 4, 5, 6, 7, 8, 9, 10)
WGMMA_SHAPE(16, 8, 9, 10, 11, 12, 13, 14)
WGMMA_SHAPE(24, 12, 13, 14, 15, 16, 17, 18)
WGMMA_SHAPE(32, 16, 17, 18, 19, 20, 21, 22)
WGMMA_SHAPE(40, 20, 21, 22, 23, 24, 25, 26)
WGMMA_SHAPE(48, 24, 25, 26, 27, 28, 29, 30)
WGMMA_SHAPE(56, 28, 29, 30, 31, 32, 33, 34)
WGMMA_SHAPE(64, 32, 33, 34, 35, 36, 37, 38)
WGMMA_SHAPE(72, 36, 37, 38, 39, 40, 41, 42)
WGMMA_SHAPE(80, 40, 41, 42, 43, 44, 45, 46)
WGMMA_SHAPE(88, 44, 45, 46, 47, 48, 49, 50)
WGMMA_SHAPE(96, 48, 49, 50, 51, 52, 53, 54)
WGMMA_SHAPE(104, 52, 53, 54, 55, 56, 57, 58)
WGMMA_SHAPE(112, 56, 57, 58, 59, 60, 61, 62)
WGMMA_SHAPE(120, 60, 61, 62, 63, 64, 65, 66)
WGMMA_SHAPE(128, 64, 65, 66, 67, 68, 69, 70)
WGMMA_SHAPE(136, 68, 69, 70, 71, 72, 73, 74)
WGMMA_SHAPE(144, 72, 73, 74, 75, 76, 77, 78)
WGMMA_SHAPE(152, 76, 77, 78, 79, 80, 81, 82)
WGMMA_SHAPE(160, 80, 81, 82, 83, 84, 85, 86)
WGMMA_SHAPE(168, 84, 85, 86, 87, 88, 89, 90)
WGMMA_SHAPE(176, 88, 89, 90, 91, 92, 93, 94)
WGMMA_SHAPE(184, 92, 93, 94, 95, 96, 97, 98)
WGMMA_SHAPE(192, 96, 97, 98, 99, 100, 101, 102)
WGMMA_SHAPE(200, 100, 101, 102, 103, 104, 105, 106)
WGMMA_SHAPE(208, 104, 105, 106, 107, 108, 109, 110)
WGMMA_SHAPE(216, 108, 109, 110, 111, 112, 113, 114)
WGMMA_SHAPE(224, 112, 113, 114, 115, 116, 117, 118)
WGMMA_SHAPE(232, 116, 117, 118, 119, 120, 121, 122)
WGMMA_SHAPE(240, 120, 121, 122, 123, 124, 125, 126)
WGMMA_SHAPE(248, 124, 125, 126, 127, 128, 129, 130)
WGMMA_SHAPE(256, 128, 129, 130, 131, 132, 133, 134)

#undef WGMMA_SHAPE
#undef WGMMA_FROM_SHARED
#undef WGMMA_FROM_SHARED_E4M3
#undef WGMMA_FROM_REGISTERS

}  // namespace padless::cuda::ptx
