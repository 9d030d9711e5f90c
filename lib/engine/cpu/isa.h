// What the processor can do, found at run time.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace padless {

/**
 * The vector instruction set that kernels of a kind are compiled for. kAmx, AVX-512 with tiles, is a level to
 * ask for and to restrict to; CpuIsa::level is kAvx512 there too, since only products use tiles.
 */
enum class IsaLevel { kPortable, kNeon, kAvx2, kAvx512, kAmx };

/** Instruction sets that the processor has and the operating system saves. */
struct CpuIsa {
  IsaLevel level = IsaLevel::kPortable;
  bool avx_vnni = false;        // int8 dot products on 256-bit vectors
  bool avx512_vnni = false;     // and on 512-bit vectors
  bool avx512_bf16 = false;     // bf16 dot products
  bool slow_bf16_dots = false;  // which take longer than the two multiply-adds that each replaces
  bool amx_bf16 = false;        // tile products
  bool amx_int8 = false;
  bool neon_dotprod = false;  // int8 dot products
  bool neon_bf16 = false;     // bf16 dot products

  /** Whether bf16 is best multiplied by dot products of vectors. */
  bool prefers_bf16_dots() const { return avx512_bf16 && !slow_bf16_dots; }

  friend bool operator==(const CpuIsa&, const CpuIsa&) = default;
};

/** Bytes; what one core has of its own, and of the last level what it shares. */
struct CacheSizes {
  size_t l1d = 32 * 1024;
  size_t l2 = 512 * 1024;
  size_t l3 = 8 * 1024 * 1024;
};

/** Asks the processor; the answer never changes, so callers may keep it. */
CpuIsa detect_cpu_isa();

/** Whether kernels of `level` run on `isa`: the portable ones on all, AVX2 ones on AVX-512 too. */
bool has_level(const CpuIsa& isa, IsaLevel level);

/** `isa` without anything above `level`, which it has: what tests use to run lower paths on a newer chip. */
CpuIsa restrict_isa(const CpuIsa& isa, IsaLevel level);

/** The level of that name, as isa_name() spells it; none for other names. */
std::optional<IsaLevel> find_isa_level(std::string_view name);

/** "portable", "neon", "avx2", "avx512", with "+vnni", "+dotprod", "+bf16", "+amx" where they are. */
std::string isa_name(const CpuIsa& isa);

/** From the operating system, with the defaults above where it does not say. */
CacheSizes detect_cache_sizes();

}  // namespace padless
