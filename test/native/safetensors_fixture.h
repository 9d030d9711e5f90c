// What the safetensors tests share: hand-made files in a scratch directory, and a tally of failures.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include "lib/core/status.h"

namespace padless::test {

inline int failures = 0;

inline void check(bool condition, const std::string& what) {
  if (condition) return;
  ++failures;
  std::fprintf(stderr, "FAILED %s\n", what.c_str());
}

inline std::string scratch_directory() {
  const char* base = std::getenv("TMPDIR");
  std::string path = concat(base ? base : "/tmp", "/padless-safetensors-XXXXXX");
  if (!::mkdtemp(path.data())) std::abort();
  return path;
}

inline const std::string kScratch = scratch_directory();

inline std::string write_file(const std::string& name, const std::string& bytes) {
  const std::string path = concat(kScratch, "/", name);
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  return path;
}

inline std::string length_prefix(uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i) & 0xff);
  return bytes;
}

inline std::string file_of(const std::string& json, const std::string& data = {}) {
  return length_prefix(json.size()) + json + data;
}

inline std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                         const std::string& offsets) {
  return concat("\"", name, "\":{\"dtype\":\"", dtype, "\",\"shape\":", shape, ",\"data_offsets\":", offsets,
                "}");
}

/** Removes the scratch directory, which must be empty but for `names`; the exit status. */
inline int finish(std::initializer_list<const char*> names) {
  for (const char* name : names) ::unlink(concat(kScratch, "/", name).c_str());
  ::rmdir(kScratch.c_str());
  if (failures) std::fprintf(stderr, "%d failures\n", failures);
  return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

}  // namespace padless::test
