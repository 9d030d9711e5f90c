#include "cuda/bench/lengths.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>

namespace padless::cuda::bench {
namespace {

Result<std::vector<int32_t>> read_lengths(const Options& options) {
  std::ifstream file(options.lengths);
  PADLESS_CHECK(file.is_open(), Code::kInvalidArgument, "--lengths", "--lengths is '", options.lengths,
                "': not uniform, lognormal or bimodal, and no such file");
  std::vector<int32_t> lengths;
  for (std::string line; std::getline(file, line);) {
    if (line.empty()) continue;
    char* end = nullptr;
    const long long value = std::strtoll(line.c_str(), &end, 10);
    PADLESS_CHECK(*end == '\0' && value >= 1 && value <= options.max_length, Code::kInvalidArgument,
                  "--lengths", options.lengths, " has the line '", line, "', not a length from 1 to ",
                  options.max_length);
    lengths.push_back(static_cast<int32_t>(value));
  }
  PADLESS_CHECK(!lengths.empty(), Code::kInvalidArgument, "--lengths", options.lengths, " has no lengths");
  return lengths;
}

}  // namespace

Result<std::vector<int32_t>> make_lengths(const Options& options) {
  const double longest = static_cast<double>(options.max_length), mean = options.ratio * longest;
  std::mt19937_64 random(options.seed);
  // Portable: the standard's distributions differ between libraries.
  const auto unit = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
  const auto normal = [&] { return std::sqrt(-2 * std::log(1 - unit())) * std::cos(2 * M_PI * unit()); };
  const auto draw = [&]() -> double {
    if (options.lengths == "uniform") {
      const double low = std::max(1.0, 2 * mean - longest), high = std::min(longest, 2 * mean - 1);
      return low + unit() * (high - low);
    }
    if (options.lengths == "lognormal") {
      constexpr double kSigma = 0.6;
      return mean * std::exp(kSigma * normal() - kSigma * kSigma / 2);
    }
    const double low = std::max(1.0, longest / 10);
    const double share = mean <= low || longest <= low ? 0 : (mean - low) / (longest - low);
    return unit() < share ? longest : low;
  };
  if (options.lengths != "uniform" && options.lengths != "lognormal" && options.lengths != "bimodal") {
    return read_lengths(options);
  }
  std::vector<int32_t> lengths;
  for (int64_t b = 0; b < options.batch; b++) {
    lengths.push_back(static_cast<int32_t>(std::clamp(std::round(draw()), 1.0, longest)));
  }
  return lengths;
}

}  // namespace padless::cuda::bench
