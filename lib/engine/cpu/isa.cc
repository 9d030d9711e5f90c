#include "lib/engine/cpu/isa.h"

#include <cstdint>
#include <fstream>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace padless {
namespace {

#if defined(__APPLE__)
/** 0 where the system does not know the name. */
size_t system_value(const char* name) {
  size_t value = 0;
  size_t length = sizeof value;
  return sysctlbyname(name, &value, &length, nullptr, 0) == 0 ? value : 0;
}
#endif

#if defined(__x86_64__)

struct CpuidLeaf {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  CpuidLeaf(uint32_t leaf, uint32_t subleaf) { __get_cpuid_count(leaf, subleaf, &eax, &ebx, &ecx, &edx); }
};

bool bit(uint32_t word, int index) { return (word >> index) & 1u; }

/** Whose VDPBF16PS takes longer than the two multiply-adds that it replaces, unlike AMD's: tiles are meant
 * for bf16 there. */
bool is_intel() {
  uint32_t leaves, ebx, ecx, edx;
  return __get_cpuid(0, &leaves, &ebx, &ecx, &edx) != 0 && ebx == signature_INTEL_ebx;
}

/** XCR0: the register states that the operating system saves. */
uint64_t saved_states() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

/** Linux gives a process the tile registers (state component 18) only when it asks. */
bool request_tiles() {
#if defined(__linux__)
  constexpr long kArchReqXcompPerm = 0x1023;
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kTileData) == 0;
#else
  return false;
#endif
}

CpuIsa ask_processor() {
  CpuIsa isa;
  const CpuidLeaf features(1, 0);
  const bool xgetbv = bit(features.ecx, 27);
  const uint64_t states = xgetbv ? saved_states() : 0;
  const bool ymm_saved = (states & 0x6) == 0x6;
  const bool zmm_saved = (states & 0xe6) == 0xe6;
  const bool tiles_saved = (states & 0x60000) == 0x60000;

  const CpuidLeaf extended(7, 0);
  const CpuidLeaf extended1(7, 1);
  const bool fma = bit(features.ecx, 12);
  const bool f16c = bit(features.ecx, 29);
  const bool avx2 = bit(extended.ebx, 5);
  const bool bmi2 = bit(extended.ebx, 8);
  if (!(ymm_saved && fma && f16c && avx2 && bmi2)) return isa;
  isa.level = IsaLevel::kAvx2;
  isa.avx_vnni = bit(extended1.eax, 4);

  const bool avx512 =
      bit(extended.ebx, 16) && bit(extended.ebx, 17) && bit(extended.ebx, 30) && bit(extended.ebx, 31);
  if (!(zmm_saved && avx512)) return isa;
  isa.level = IsaLevel::kAvx512;
  isa.avx512_vnni = bit(extended.ecx, 11);
  isa.avx512_bf16 = bit(extended1.eax, 5);
  isa.slow_bf16_dots = is_intel();

  const bool tiles = bit(extended.edx, 24) && tiles_saved && request_tiles();
  // AVX-512 rounds rows for tiles and what comes of them, and its VBMI looks up exponentials; a hypervisor
  // may hide either.
  const bool rounds = tiles && isa.avx512_bf16 && bit(extended.ecx, 1);
  isa.amx_bf16 = rounds && bit(extended.edx, 22);
  isa.amx_int8 = rounds && bit(extended.edx, 25);
  return isa;
}

#elif defined(__aarch64__)

CpuIsa ask_processor() {
  CpuIsa isa;
  isa.level = IsaLevel::kNeon;
#if defined(__linux__)
  constexpr unsigned long kHwcapAsimdDp = 1ul << 20;
  constexpr unsigned long kHwcap2Bf16 = 1ul << 14;
  isa.neon_dotprod = (getauxval(AT_HWCAP) & kHwcapAsimdDp) != 0;
  isa.neon_bf16 = (getauxval(AT_HWCAP2) & kHwcap2Bf16) != 0;
#elif defined(__APPLE__)
  isa.neon_dotprod = system_value("hw.optional.arm.FEAT_DotProd") != 0;
  isa.neon_bf16 = system_value("hw.optional.arm.FEAT_BF16") != 0;
#endif
  return isa;
}

#else

CpuIsa ask_processor() { return {}; }

#endif

struct LevelName {
  IsaLevel level;
  std::string_view name;
};
constexpr LevelName kLevelNames[] = {{IsaLevel::kPortable, "portable"},
                                     {IsaLevel::kNeon, "neon"},
                                     {IsaLevel::kAvx2, "avx2"},
                                     {IsaLevel::kAvx512, "avx512"},
                                     {IsaLevel::kAmx, "amx"}};

}  // namespace

CpuIsa detect_cpu_isa() {
  static const CpuIsa isa = ask_processor();
  return isa;
}

bool has_level(const CpuIsa& isa, IsaLevel level) {
  if (level == IsaLevel::kPortable || level == isa.level) return true;
  if (level == IsaLevel::kAmx) return isa.amx_bf16 || isa.amx_int8;
  return level == IsaLevel::kAvx2 && isa.level == IsaLevel::kAvx512;
}

CpuIsa restrict_isa(const CpuIsa& isa, IsaLevel level) {
  CpuIsa result = isa;
  if (level < result.level) result.level = level;
  if (level < IsaLevel::kAmx) result.amx_bf16 = result.amx_int8 = false;
  if (result.level < IsaLevel::kAvx512)
    result.avx512_vnni = result.avx512_bf16 = result.slow_bf16_dots = false;
  if (result.level < IsaLevel::kAvx2) result.avx_vnni = false;
  if (result.level < IsaLevel::kNeon) result.neon_dotprod = result.neon_bf16 = false;
  return result;
}

std::optional<IsaLevel> find_isa_level(std::string_view name) {
  for (const LevelName& known : kLevelNames) {
    if (known.name == name) return known.level;
  }
  return std::nullopt;
}

std::string isa_name(const CpuIsa& isa) {
  std::string name(kLevelNames[static_cast<size_t>(isa.level)].name);
  if (isa.avx512_vnni || (isa.avx_vnni && isa.level == IsaLevel::kAvx2)) name += "+vnni";
  if (isa.neon_dotprod) name += "+dotprod";
  if (isa.prefers_bf16_dots() || isa.amx_bf16 || isa.neon_bf16) name += "+bf16";
  if (isa.amx_bf16 || isa.amx_int8) name += "+amx";
  return name;
}

CacheSizes detect_cache_sizes() {
  CacheSizes sizes;
  const auto set = [](size_t& size, long long bytes) {
    if (bytes > 0) size = static_cast<size_t>(bytes);
  };
#if defined(__linux__)
#if defined(_SC_LEVEL1_DCACHE_SIZE)
  // The C library knows them on some systems whose /sys does not tell.
  set(sizes.l1d, sysconf(_SC_LEVEL1_DCACHE_SIZE));
  set(sizes.l2, sysconf(_SC_LEVEL2_CACHE_SIZE));
  set(sizes.l3, sysconf(_SC_LEVEL3_CACHE_SIZE));
#endif
  const std::string root = "/sys/devices/system/cpu/cpu0/cache/index";
  for (int index = 0; index < 8; ++index) {
    const std::string entry = root + std::to_string(index);
    int level = 0;
    std::string type;
    long long kib = 0;
    if (!(std::ifstream(entry + "/level") >> level)) break;
    std::ifstream(entry + "/type") >> type;
    std::ifstream(entry + "/size") >> kib;  // "512K"
    if (type == "Instruction") continue;
    if (level == 1) set(sizes.l1d, kib * 1024);
    if (level == 2) set(sizes.l2, kib * 1024);
    if (level == 3) set(sizes.l3, kib * 1024);
  }
#elif defined(__APPLE__)
  const auto read = [&](size_t& size, const char* name, const char* sharers) {
    const size_t cores = system_value(sharers);
    set(size, static_cast<long long>(system_value(name) / (cores > 0 ? cores : 1)));
  };
  read(sizes.l1d, "hw.l1dcachesize", "");
  read(sizes.l2, "hw.l2cachesize", "");
  read(sizes.l3, "hw.l3cachesize", "");
  // Of the fast cores, where there are two kinds; a second level is shared by several of them.
  read(sizes.l1d, "hw.perflevel0.l1dcachesize", "");
  read(sizes.l2, "hw.perflevel0.l2cachesize", "hw.perflevel0.cpusperl2");
#endif
  return sizes;
}

}  // namespace padless
