// The command line of kernel_bench.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/status.h"

namespace padless::cuda::bench {

/** Sizes of an encoder layer. */
struct LayerShape {
  std::string name = "base";
  int64_t hidden = 768, heads = 12, mlp = 3072;
  int64_t head_dim() const { return hidden / heads; }
};

struct Options {
  std::vector<std::string> ops;       // empty: all
  LayerShape shape;                   // --shape base|large|minilm|HIDDENxHEADSxMLP
  std::string lengths = "lognormal";  // --lengths uniform|lognormal|bimodal|FILE
  int64_t batch = 16, max_length = 512;
  double ratio = 0.6;  // mean length over max_length, of the generators
  uint64_t seed = 1;
  int samples = 30;
  std::string json;  // --json FILE: one object a line is appended
  bool help = false;
};

inline constexpr std::string_view kOpNames[] = {"residual_norm", "embed_norm",   "gather_rows", "head_norm",
                                                "rope",          "pool_rows",    "linear",      "linear_norm",
                                                "attention",     "disentangled", "ladder"};

/** E_INVALID_ARGUMENT names the argument and what it may be. */
Result<Options> parse_options(std::span<const char* const> arguments);
std::string usage();

}  // namespace padless::cuda::bench
