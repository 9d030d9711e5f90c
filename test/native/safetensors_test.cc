// The safetensors reader against hand-made files, hazard by hazard.
#include "lib/io/safetensors.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "lib/io/finite.h"
#include "test/native/safetensors_fixture.h"

namespace padless::test {
namespace {

/** The code that opening `bytes` yields, and its field. */
Status open_status(const std::string& bytes) {
  return SafetensorsFile::open(write_file("case.safetensors", bytes)).status();
}

void expect_bad(const std::string& name, const std::string& bytes, const std::string& words,
                const std::string& field = "case.safetensors") {
  const Status status = open_status(bytes);
  check(status.code() == Code::kBadWeights, concat(name, ": E_BAD_WEIGHTS, not ", code_name(status.code())));
  check(status.message().find(words) != std::string::npos,
        concat(name, ": says '", words, "': ", status.message()));
  check(status.field() == field, concat(name, ": field '", status.field(), "'"));
}

void test_valid_files() {
  const std::string data = std::string("\x00\x00\x80\x3f\x00\x00\x00\x40", 8) + "ab";
  const std::string json =
      "{" + entry("w", "F32", "[2]", "[0,8]") + ",\"__metadata__\":{\"format\":\"pt\"}," +
      entry("bytes", "U8", "[1,2]", "[8,10]") + "," + entry("empty", "BF16", "[3,0]", "[8,8]") + "," +
      entry("\\u00e9\\ud83d\\ude00", "BOOL", "[0]", "[10,10]") + "}  \n";
  const auto file = SafetensorsFile::open(write_file("valid.safetensors", file_of(json, data)));
  check(file.is_ok(), concat("valid: ", file.status().message()));
  if (!file.is_ok()) return;
  const SafetensorsFile& tensors = *file.value();
  check(tensors.entries().size() == 4, "valid: four entries");
  check(tensors.metadata().at("format") == "pt", "valid: metadata");
  check(tensors.find("\xc3\xa9\xf0\x9f\x98\x80") != nullptr, "valid: escapes become UTF-8");
  check(tensors.find("absent") == nullptr, "valid: an absent name");
  const SafetensorsEntry* w = tensors.find("w");
  const Result<HostTensor> view = tensors.tensor(*w);
  float values[2];
  std::memcpy(values, view.value().data, sizeof(values));
  check(values[0] == 1.0f && values[1] == 2.0f && view.value().elements() == 2, "valid: the values of w");
  tensors.release(*w);
  std::memcpy(values, view.value().data, sizeof(values));
  check(values[1] == 2.0f, "valid: released pages come back");
  const Status refused = tensors.tensor(*tensors.find("\xc3\xa9\xf0\x9f\x98\x80")).status();
  check(refused.code() == Code::kUnsupported, "valid: BOOL is refused only as a weight");

  check(open_status(file_of("{}")).is_ok(), "no tensors at all");
  check(open_status(file_of("{" + entry("s", "F32", "[]", "[0,4]") + "}", "1234")).is_ok(), "rank 0");
  check(open_status(file_of("{" + entry("q", "F4", "[3,2]", "[0,3]") + "}", "123")).is_ok(),
        "sub-byte dtype");
  check(open_status(file_of("{" + entry("z", "F32", "[0,9223372036854775807]", "[0,0]") + "}")).is_ok(),
        "zero times the largest dimension");
}

void test_lengths() {
  expect_bad("empty file", "", "truncated at 0 bytes");
  expect_bad("seven bytes", "1234567", "truncated at 7 bytes");
  expect_bad("header length beyond the limit", length_prefix(100'000'001) + "{}",
             "the format allows 100000000");
  expect_bad("header length of 2^64 - 1", length_prefix(~uint64_t{0}) + "{}", "the format allows");
  expect_bad("header length beyond the file", length_prefix(3) + "{}", "truncated at 10");
  expect_bad("header length zero", length_prefix(0) + "{}", "does not start with '{'");
  expect_bad("space before the brace", file_of(" {}"), "does not start with '{'");
  expect_bad("a pickle", std::string("\x80\x02}q\x00X\x00\x00", 8) + "rest", "header claims");
  expect_bad("truncated data", file_of("{" + entry("w", "F32", "[2]", "[0,8]") + "}", "1234"),
             "truncated or lies", "w");
  expect_bad("trailing garbage", file_of("{" + entry("w", "F32", "[1]", "[0,4]") + "}", "12345"),
             "the rest is garbage");
  expect_bad("bytes after the JSON", file_of("{}x"), "expected the end");
  expect_bad("NUL padding after the JSON", file_of(std::string("{}\0", 3)), "expected the end");
}

void test_grammar() {
  expect_bad("cut JSON", file_of("{\"w\":"), "the header ends");
  expect_bad("unterminated string", file_of("{\"w"), "a string has no end");
  expect_bad("trailing comma", file_of("{" + entry("w", "U8", "[0]", "[0,0]") + ",}"), "expected '\"'");
  expect_bad("an array as the header", file_of("{[]}"), "expected '\"'");
  expect_bad("entry is a number", file_of("{\"w\":1}"), "expected '{'");
  expect_bad("entry is null", file_of("{\"w\":null}"), "expected '{'");
  expect_bad("deep nesting", file_of("{\"w\":" + std::string(100'000, '[') + "}"), "expected '{'");
  expect_bad("empty entry", file_of("{\"w\":{}}"), "expected '\"'");
  expect_bad("missing offsets", file_of("{\"w\":{\"dtype\":\"F32\",\"shape\":[]}}"),
             "needs dtype, shape and data_offsets", "w");
  expect_bad("unknown key", file_of("{\"w\":{\"dtype\":\"F32\",\"stride\":[]}}"),
             "unknown or duplicate key \"stride\"", "w");
  expect_bad("key given twice", file_of("{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}"),
             "unknown or duplicate key", "w");
  expect_bad("one offset", file_of("{" + entry("w", "U8", "[0]", "[0]") + "}"), "expected ','");
  expect_bad("three offsets", file_of("{" + entry("w", "U8", "[0]", "[0,0,0]") + "}"), "expected ']'");
  expect_bad("raw control character", file_of("{\"a\nb\":1}"), "raw control character");
  expect_bad("unknown escape", file_of("{\"\\x\":1}"), "unknown escape");
  expect_bad("cut escape", file_of("{\"\\u12"), "cut off");
  expect_bad("not hexadecimal", file_of("{\"\\u12g4\":1}"), "four hexadecimal digits");
  expect_bad("lone low surrogate", file_of("{\"\\udc00\":1}"), "lone low surrogate");
  expect_bad("lone high surrogate", file_of("{\"\\ud800x\":1}"), "lone high surrogate");
  expect_bad("two high surrogates", file_of("{\"\\ud800\\ud800\":1}"), "lone high surrogate");
  for (const char* bytes :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe2\x82", "\xc3"}) {
    expect_bad("invalid UTF-8", file_of(concat("{\"", bytes, "\":1}")), "invalid UTF-8");
  }
  expect_bad("UTF-8 cut by the header's end", file_of("{\"\xe2"), "invalid UTF-8");
}

void test_numbers() {
  const auto shape = [](const std::string& dims) {
    return file_of("{" + entry("w", "U8", dims, "[0,0]") + "}");
  };
  expect_bad("negative dimension", shape("[-1]"), "non-negative integer");
  expect_bad("fraction", shape("[1.0]"), "not an integer in plain digits");
  expect_bad("exponent", shape("[1e2]"), "not an integer in plain digits");
  expect_bad("leading zero", shape("[01]"), "leading zero");
  expect_bad("2^63", shape("[9223372036854775808]"), "exceeds 2^63 - 1");
  expect_bad("forty digits", shape("[" + std::string(40, '9') + "]"), "exceeds 2^63 - 1");
  expect_bad("a string for a number", shape("[\"1\"]"), "non-negative integer");
  expect_bad("NaN", shape("[NaN]"), "non-negative integer");
  expect_bad("a product beyond 63 bits", shape("[4294967296,4294967296]"), "overflows 63 bits", "w");
  expect_bad("an overflow before a zero", shape("[4294967296,4294967296,0]"), "overflows 63 bits", "w");
  expect_bad("bits beyond 63 bits", shape("[4611686018427387904]"), "overflows 63 bits", "w");
  std::string ones = "[1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  expect_bad("rank 65", shape(ones + "]"), "more than 64 dimensions");
  expect_bad("half a byte", file_of("{" + entry("w", "F4", "[3]", "[0,1]") + "}", "1"),
             "do not fill whole bytes", "w");
}

void test_lies() {
  const std::string four = "1234";
  expect_bad(
      "duplicate tensor",
      file_of("{" + entry("w", "U8", "[0]", "[0,0]") + "," + entry("w", "U8", "[4]", "[0,4]") + "}", four),
      "duplicate key", "w");
  expect_bad(
      "duplicate by escape",
      file_of("{" + entry("w", "U8", "[0]", "[0,0]") + "," + entry("\\u0077", "U8", "[4]", "[0,4]") + "}",
              four),
      "duplicate key", "w");
  expect_bad("unknown dtype", file_of("{" + entry("w", "F128", "[1]", "[0,4]") + "}", four),
             "unknown dtype \"F128\"", "w");
  expect_bad("lower-case dtype", file_of("{" + entry("w", "f32", "[1]", "[0,4]") + "}", four),
             "unknown dtype", "w");
  expect_bad("shape larger than its bytes", file_of("{" + entry("w", "F32", "[2]", "[0,4]") + "}", four),
             "need 8 bytes", "w");
  expect_bad("offsets backwards", file_of("{" + entry("w", "U8", "[0]", "[4,0]") + "}", four),
             "run backwards", "w");
  expect_bad("a hole in front", file_of("{" + entry("w", "U8", "[2]", "[2,4]") + "}", four),
             "neither overlap nor leave holes", "w");
  expect_bad(
      "a hole between",
      file_of("{" + entry("a", "U8", "[1]", "[0,1]") + "," + entry("b", "U8", "[2]", "[2,4]") + "}", four),
      "neither overlap nor leave holes", "b");
  expect_bad(
      "overlap",
      file_of("{" + entry("a", "U8", "[3]", "[0,3]") + "," + entry("b", "U8", "[2]", "[2,4]") + "}", four),
      "neither overlap nor leave holes", "b");
  expect_bad(
      "the same bytes twice",
      file_of("{" + entry("a", "U8", "[4]", "[0,4]") + "," + entry("b", "U8", "[4]", "[0,4]") + "}", four),
      "neither overlap nor leave holes", "b");
  expect_bad("metadata with a number", file_of("{\"__metadata__\":{\"a\":1}}"), "expected '\"'");
  expect_bad("metadata with an object", file_of("{\"__metadata__\":{\"a\":{}}}"), "expected '\"'");
  expect_bad("metadata is a list", file_of("{\"__metadata__\":[]}"), "expected '{'");
  expect_bad("metadata twice", file_of("{\"__metadata__\":{},\"__metadata__\":{}}"), "duplicate key");
  expect_bad("metadata key twice", file_of("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}"), "duplicate key");
}

void test_names_in_messages() {
  const Status status =
      open_status(file_of("{" + entry(std::string(100'000, 'n') + "\\u0007", "Q", "[]", "[0,0]") + "}"));
  check(status.message().size() < 500, "a long tensor name is cut in the message");
  check(quoted_name(std::string("a\0\n", 3)) == "\"a\\x00\\x0a\"", "control characters are escaped");
  check(quoted_name(std::string(119, 'n') + "\xc3\xa9z") == "\"" + std::string(119, 'n') + "\xc3\xa9...\"",
        "a character is not cut in two");
}

void test_what_is_no_file() {
  const auto code = [](const std::string& path) { return SafetensorsFile::open(path).status().code(); };
  check(code(kScratch + "/absent.safetensors") == Code::kNotFound, "absent: E_NOT_FOUND");
  check(code(kScratch) == Code::kBadWeights, "a directory: E_BAD_WEIGHTS");
  check(code("/dev/zero") == Code::kBadWeights, "a device: E_BAD_WEIGHTS");
  const std::string fifo = kScratch + "/fifo";
  check(::mkfifo(fifo.c_str(), 0600) == 0, "mkfifo");
  check(code(fifo) == Code::kBadWeights, "a FIFO: E_BAD_WEIGHTS, without waiting for a writer");
  check(code(std::string("a\0b", 3)) == Code::kBadWeights, "NUL in a path: E_BAD_WEIGHTS");
}

void test_change_after_opening() {
  const std::string path =
      write_file("shrinks.safetensors",
                 file_of("{" + entry("w", "U8", "[8192]", "[0,8192]") + "}", std::string(8192, 'x')));
  const auto file = SafetensorsFile::open(path);
  check(::truncate(path.c_str(), 100) == 0, "truncate");
  const Status status = file.value()->tensor(*file.value()->find("w")).status();
  check(status.code() == Code::kBadWeights, "truncated after opening: E_BAD_WEIGHTS, not SIGBUS");
}

template <class Bits>
void check_finite_at_every_place(DType dtype, Bits one, const std::vector<Bits>& offenders, Bits largest) {
  for (const int64_t count :
       {int64_t{1}, int64_t{7}, int64_t{2047}, int64_t{2048}, int64_t{2049}, int64_t{5000}}) {
    std::vector<char> storage(static_cast<size_t>(count) * sizeof(Bits) + 1);
    char* const unaligned = storage.data() + 1;
    const auto put = [&](int64_t index, Bits bits) {
      std::memcpy(unaligned + index * sizeof(Bits), &bits, sizeof(Bits));
    };
    for (int64_t i = 0; i < count; ++i) put(i, i % 2 ? one : largest);
    const HostTensor tensor{unaligned, dtype, {count}};
    const std::string label = concat(dtype_name(dtype), " of ", count);
    check(check_finite(tensor, "w").is_ok(), label + ": finite values pass");
    for (const int64_t place : {int64_t{0}, count / 2, count - 1}) {
      for (const Bits offender : offenders) {
        put(place, offender);
        const Status status = check_finite(tensor, "w");
        check(status.code() == Code::kBadWeights && status.field() == "w",
              label + ": refused, naming the tensor");
        check(status.message().find(concat("element ", place, ";")) != std::string::npos,
              label + ": names the element");
        put(place, one);
      }
    }
  }
}

void test_finite() {
  check_finite_at_every_place<uint32_t>(DType::kF32, 0x3f800000u,
                                        {0x7fc00000u, 0xffc00000u, 0x7f800000u, 0xff800000u, 0x7f800001u},
                                        0x7f7fffffu);
  check_finite_at_every_place<uint16_t>(DType::kF16, 0x3c00u, {0x7e00u, 0xfe00u, 0x7c00u, 0xfc00u, 0x7c01u},
                                        0x7bffu);
  check_finite_at_every_place<uint16_t>(DType::kBF16, 0x3f80u, {0x7fc0u, 0xffc0u, 0x7f80u, 0xff80u, 0x7f81u},
                                        0x7f7fu);
  check(check_finite(HostTensor{nullptr, DType::kF32, {0, 4}}, "w").is_ok(), "no elements: finite");
}

}  // namespace
}  // namespace padless::test

int main() {
  using namespace padless::test;
  test_valid_files();
  test_lengths();
  test_grammar();
  test_numbers();
  test_lies();
  test_names_in_messages();
  test_what_is_no_file();
  test_change_after_opening();
  test_finite();
  return finish({"case.safetensors", "valid.safetensors", "shrinks.safetensors", "fifo"});
}
