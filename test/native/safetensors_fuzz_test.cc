// The safetensors reader against thousands of mutated files: always a valid parse or a coded error.
// Built with -DPADLESS_SANITIZER=address it proves that no input reads or overflows out of bounds.
//   safetensors_fuzz_test [seed]
#include <cstdlib>
#include <random>
#include <set>
#include <vector>

#include "lib/io/finite.h"
#include "lib/io/safetensors.h"
#include "test/native/safetensors_fixture.h"

namespace padless::test {
namespace {

std::string seed_file(std::mt19937_64& random) {
  std::string json = "{\"__metadata__\":{\"format\":\"pt\",\"k\\u00e9y\":\"v\\n\"}";
  size_t offset = 0;
  const int tensors = static_cast<int>(random() % 6);
  for (int i = 0; i < tensors; ++i) {
    const uint64_t rows = random() % 4;
    const uint64_t cols = random() % 5;
    const char* const dtypes[] = {"F32", "BF16", "I64", "U8"};
    const size_t sizes[] = {4, 2, 8, 1};
    const size_t kind = random() % 4;
    const size_t bytes = rows * cols * sizes[kind];
    json += "," + entry(concat("layer.", i, ".weight"), dtypes[kind], concat("[", rows, ",", cols, "]"),
                        concat("[", offset, ",", offset + bytes, "]"));
    offset += bytes;
  }
  return file_of(json + "}", std::string(offset, '\x3c'));
}

void mutate(std::string& bytes, std::mt19937_64& random) {
  const auto place = [&] { return static_cast<size_t>(random() % (bytes.size() + 1)); };
  static const std::vector<std::string> kSplices = {"-1",
                                                    "0",
                                                    "00",
                                                    "1e9",
                                                    "1.5",
                                                    "9223372036854775807",
                                                    "9223372036854775808",
                                                    "18446744073709551616",
                                                    "[",
                                                    "]",
                                                    "{",
                                                    "}",
                                                    "\"",
                                                    "\\",
                                                    "\\u0000",
                                                    "\\ud800",
                                                    ":",
                                                    ",",
                                                    "null",
                                                    "\"dtype\"",
                                                    "\"shape\":[]",
                                                    "\"data_offsets\":[0,0]",
                                                    "\"__metadata__\":{}",
                                                    "F4",
                                                    "F64",
                                                    "\xed\xa0\x80",
                                                    "\xff",
                                                    std::string(1, '\0'),
                                                    std::string(300, '[')};
  switch (random() % 8) {
    case 0:
      if (!bytes.empty()) bytes[random() % bytes.size()] ^= static_cast<char>(1u << (random() % 8));
      break;
    case 1:
      bytes.resize(place());
      break;
    case 2:
      bytes.insert(place(), kSplices[random() % kSplices.size()]);
      break;
    case 3:
      bytes.insert(place(), bytes.substr(place(), random() % 64));
      break;
    case 4:
      bytes.erase(place(), random() % 16);
      break;
    case 5:
      bytes += std::string(random() % 9, 'x');
      break;
    case 6:
      bytes.replace(0, 8, length_prefix(random() % 4 ? random() % 600 : random()));
      break;
    default:
      if (!bytes.empty()) bytes[random() % bytes.size()] = static_cast<char>('0' + random() % 10);
  }
}

/** Rewrites the length so that mutations reach the JSON parser instead of stopping at the length check. */
void repair_length(std::string& bytes) {
  const size_t brace = bytes.rfind('}');
  if (bytes.size() > 8 && brace != std::string::npos && brace >= 8)
    bytes.replace(0, 8, length_prefix(brace - 7));
}

void check_invariants(const SafetensorsFile& file, size_t size) {
  std::set<std::string> names;
  uint64_t covered = 0;
  for (const SafetensorsEntry& tensor : file.entries()) {
    check(names.insert(tensor.name).second, "fuzz: names are unique");
    check(tensor.begin == covered && tensor.end >= tensor.begin, "fuzz: no holes");
    covered = tensor.end;
    check(file.find(tensor.name) == &tensor, "fuzz: find");
    const Result<HostTensor> view = file.tensor(tensor);
    if (!view.is_ok()) continue;
    check(static_cast<uint64_t>(view.value().elements()) * dtype_size(view.value().dtype) ==
              tensor.end - tensor.begin,
          "fuzz: shape and bytes agree");
    check(check_finite(view.value(), tensor.name).code() != Code::kInternal, "fuzz: every byte can be read");
  }
  check(covered + 8 <= size, "fuzz: data lies inside the file");
}

void test_mutations(uint64_t seed, int rounds) {
  std::mt19937_64 random(seed);
  int accepted = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string bytes = seed_file(random);
    for (uint64_t i = random() % 4; i > 0; --i) mutate(bytes, random);
    if (random() % 2) repair_length(bytes);
    const auto file = SafetensorsFile::open(write_file("fuzz.safetensors", bytes));
    if (file.is_ok()) {
      ++accepted;
      check_invariants(*file.value(), bytes.size());
    } else {
      check(file.status().code() == Code::kBadWeights && !file.status().field().empty() &&
                !file.status().message().empty(),
            concat("fuzz: round ", round, " has a code, a field and a message"));
    }
    if (failures) {
      std::fprintf(stderr, "seed %llu, round %d\n", static_cast<unsigned long long>(seed), round);
      return;
    }
  }
  check(accepted > rounds / 10 && accepted < rounds * 9 / 10, "fuzz: both outcomes occur");
  std::printf("fuzz: seed %llu, %d of %d mutated files still valid\n", static_cast<unsigned long long>(seed),
              accepted, rounds);
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless::test;
  const uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : std::random_device{}();
  test_mutations(seed, 20'000);
  return finish({"fuzz.safetensors"});
}
