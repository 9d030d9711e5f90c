// Input and output vectors of instruction wrappers, as JSON. The same program runs on a GPU, where --json
// records what the hardware does, and under the emulator, where --compare FILE holds the models to a
// recording.
#pragma once

#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "cuda/tests/support.h"

namespace padless::cuda::test {

struct Vector {
  std::string name;             // wrapper and case: unique in a file
  std::vector<uint32_t> input;  // 32-bit words
  std::vector<uint32_t> output;
  double tolerance = 0;  // of outputs as floats, relative to max(|recorded|, floor); 0: bit by bit
  double floor = 0;
};

template <class T>
std::vector<uint32_t> words(const std::vector<T>& values) {
  std::vector<uint32_t> result((values.size() * sizeof(T) + 3) / 4);
  if (!values.empty()) std::memcpy(result.data(), values.data(), values.size() * sizeof(T));
  return result;
}

inline std::string hex(const std::vector<uint32_t>& values) {
  std::string text;
  text.reserve(values.size() * 8);
  char digits[9];
  for (uint32_t value : values) {
    std::snprintf(digits, sizeof(digits), "%08x", value);
    text += digits;
  }
  return text;
}

// One vector a line, so that recordings are read without a JSON library.
inline void print_json(const std::vector<Vector>& vectors) {
  cudaDeviceProp properties;
  check_cuda(cudaGetDeviceProperties(&properties, 0), "device properties");
  std::cout << "{\"device\": \"" << properties.name << "\", \"seed\": " << seed() << ", \"vectors\": [\n";
  for (size_t i = 0; i < vectors.size(); i++) {
    const Vector& v = vectors[i];
    std::cout << "{\"name\": \"" << v.name << "\", \"tolerance\": " << v.tolerance << ", \"input\": \""
              << hex(v.input) << "\", \"output\": \"" << hex(v.output) << "\"}"
              << (i + 1 < vectors.size() ? ",\n" : "\n");
  }
  std::cout << "]}\n";
}

inline std::string field(const std::string& line, const std::string& key) {
  const std::string mark = "\"" + key + "\": \"";
  const size_t first = line.find(mark);
  if (first == std::string::npos) return "";
  const size_t start = first + mark.size();
  return line.substr(start, line.find('"', start) - start);
}

inline bool agrees(const Vector& v, const std::string& recorded) {
  if (v.tolerance == 0) return hex(v.output) == recorded;
  if (recorded.size() != v.output.size() * 8) return false;
  for (size_t i = 0; i < v.output.size(); i++) {
    const auto bits = static_cast<uint32_t>(std::stoul(recorded.substr(i * 8, 8), nullptr, 16));
    float expected, got;
    std::memcpy(&expected, &bits, 4);
    std::memcpy(&got, &v.output[i], 4);
    if (expected == got || (std::isnan(expected) && std::isnan(got))) continue;
    const double scale = std::fmax(std::fabs(double{expected}), v.floor);
    if (!(std::fabs(double{expected} - double{got}) <= v.tolerance * scale)) return false;
  }
  return true;
}

// Every vector of the program must be in the recording with the same input, and agree.
inline void compare(const std::vector<Vector>& vectors, const std::string& path) {
  std::ifstream file(path);
  check(file.good(), "cannot read " + path);
  std::map<std::string, std::string> recorded;
  for (std::string line; std::getline(file, line);) recorded[field(line, "name")] = line;
  for (const Vector& v : vectors) {
    const auto found = recorded.find(v.name);
    check(found != recorded.end(), v.name + " is not in " + path);
    if (found == recorded.end()) continue;
    check(field(found->second, "input") == hex(v.input), v.name + ": recorded with another input");
    check(agrees(v, field(found->second, "output")), v.name + " differs from the recording");
  }
}

inline int conformance_main(int count, char** arguments, const char* program,
                            const std::vector<Vector>& vectors) {
  const std::string mode = count > 1 ? arguments[1] : "";
  if (mode == "--json") {
    print_json(vectors);
    return failed_checks == 0 ? 0 : 1;
  }
  if (mode == "--compare" && count > 2) {
    compare(vectors, arguments[2]);
    return report(program);
  }
  std::fprintf(stderr, "usage: %s --json | --compare FILE\n", program);
  return 2;
}

}  // namespace padless::cuda::test
