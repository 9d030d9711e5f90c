#include "lib/io/safetensors_header.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <tuple>

#include "lib/io/json_scanner.h"

namespace padless {

namespace {

/** PyTorch's own limit; a longer shape is an attack, not a tensor. */
constexpr size_t kMaxRank = 64;

constexpr std::array<SafetensorsDType, 22> kDTypes = {{
    {"F32", 32, DType::kF32},
    {"F16", 16, DType::kF16},
    {"BF16", 16, DType::kBF16},
    {"I32", 32, DType::kI32},
    {"I64", 64, DType::kI64},
    {"U8", 8, DType::kU8},
    {"I8", 8, DType::kI8},
    {"BOOL", 8, std::nullopt},
    {"F64", 64, std::nullopt},
    {"C64", 64, std::nullopt},
    {"U64", 64, std::nullopt},
    {"U32", 32, std::nullopt},
    {"I16", 16, std::nullopt},
    {"U16", 16, std::nullopt},
    {"F8_E4M3", 8, std::nullopt},
    {"F8_E5M2", 8, std::nullopt},
    {"F8_E8M0", 8, std::nullopt},
    {"F8_E4M3FNUZ", 8, std::nullopt},
    {"F8_E5M2FNUZ", 8, std::nullopt},
    {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt},
    {"F4", 4, std::nullopt},
}};

const SafetensorsDType* find_dtype(std::string_view name) {
  for (const SafetensorsDType& dtype : kDTypes) {
    if (name == dtype.name) return &dtype;
  }
  return nullptr;
}

Status bad_tensor(const std::string& name, const std::string& message) {
  const std::string quoted = quoted_name(name);
  return Status(Code::kBadWeights, concat("tensor ", quoted, ": ", message),
                quoted.substr(1, quoted.size() - 2));
}

/** Factors are never negative, so dividing the limit is exact enough. */
bool checked_multiply(uint64_t factor, uint64_t& product) {
  if (factor != 0 && product > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / factor)
    return false;
  product *= factor;
  return true;
}

Status parse_shape(JsonScanner& scanner, std::vector<int64_t>& shape) {
  PADLESS_RETURN_IF_ERROR(scanner.expect('['));
  if (scanner.accept(']')) return Status::ok();
  do {
    if (shape.size() == kMaxRank)
      return scanner.fail(concat("a shape has more than ", kMaxRank, " dimensions"));
    int64_t dim;
    PADLESS_RETURN_IF_ERROR(scanner.integer(dim));
    shape.push_back(dim);
  } while (scanner.accept(','));
  return scanner.expect(']');
}

Status parse_offsets(JsonScanner& scanner, SafetensorsEntry& entry) {
  int64_t begin;
  int64_t end;
  PADLESS_RETURN_IF_ERROR(scanner.expect('['));
  PADLESS_RETURN_IF_ERROR(scanner.integer(begin));
  PADLESS_RETURN_IF_ERROR(scanner.expect(','));
  PADLESS_RETURN_IF_ERROR(scanner.integer(end));
  PADLESS_RETURN_IF_ERROR(scanner.expect(']'));
  entry.begin = static_cast<uint64_t>(begin);
  entry.end = static_cast<uint64_t>(end);
  return Status::ok();
}

Status check_size(const SafetensorsEntry& entry) {
  if (entry.begin > entry.end) {
    return bad_tensor(entry.name,
                      concat("data_offsets run backwards, from ", entry.begin, " to ", entry.end));
  }
  uint64_t bits = 1;
  for (int64_t dim : entry.shape) {
    if (!checked_multiply(static_cast<uint64_t>(dim), bits)) {
      return bad_tensor(entry.name, "the shape's product overflows 63 bits");
    }
  }
  if (!checked_multiply(static_cast<uint64_t>(entry.dtype->bits), bits)) {
    return bad_tensor(entry.name, "the shape's product overflows 63 bits");
  }
  if (bits % 8 != 0) return bad_tensor(entry.name, concat("its ", bits, " bits do not fill whole bytes"));
  if (bits / 8 != entry.end - entry.begin) {
    return bad_tensor(entry.name, concat("shape and dtype need ", bits / 8, " bytes, but data_offsets hold ",
                                         entry.end - entry.begin));
  }
  return Status::ok();
}

Status parse_entry(JsonScanner& scanner, SafetensorsEntry& entry) {
  PADLESS_RETURN_IF_ERROR(scanner.expect('{'));
  bool has_shape = false;
  bool has_offsets = false;
  std::string text;
  do {
    PADLESS_RETURN_IF_ERROR(scanner.string(text));
    PADLESS_RETURN_IF_ERROR(scanner.expect(':'));
    if (text == "dtype" && !entry.dtype) {
      PADLESS_RETURN_IF_ERROR(scanner.string(text));
      entry.dtype = find_dtype(text);
      if (!entry.dtype) return bad_tensor(entry.name, concat("unknown dtype ", quoted_name(text)));
    } else if (text == "shape" && !has_shape) {
      has_shape = true;
      PADLESS_RETURN_IF_ERROR(parse_shape(scanner, entry.shape));
    } else if (text == "data_offsets" && !has_offsets) {
      has_offsets = true;
      PADLESS_RETURN_IF_ERROR(parse_offsets(scanner, entry));
    } else {
      return bad_tensor(entry.name, concat("unknown or duplicate key ", quoted_name(text),
                                           "; an entry has dtype, shape and data_offsets"));
    }
  } while (scanner.accept(','));
  PADLESS_RETURN_IF_ERROR(scanner.expect('}'));
  if (!entry.dtype || !has_shape || !has_offsets) {
    return bad_tensor(entry.name, "an entry needs dtype, shape and data_offsets");
  }
  return check_size(entry);
}

Status parse_metadata(JsonScanner& scanner, std::map<std::string, std::string>& metadata) {
  PADLESS_RETURN_IF_ERROR(scanner.expect('{'));
  if (scanner.accept('}')) return Status::ok();
  do {
    std::string key;
    std::string value;
    PADLESS_RETURN_IF_ERROR(scanner.string(key));
    PADLESS_RETURN_IF_ERROR(scanner.expect(':'));
    PADLESS_RETURN_IF_ERROR(scanner.string(value));
    if (!metadata.emplace(std::move(key), std::move(value)).second) {
      return scanner.fail("__metadata__ has a duplicate key");
    }
  } while (scanner.accept(','));
  return scanner.expect('}');
}

Status check_unique(const std::vector<SafetensorsEntry>& entries) {
  std::vector<size_t> order(entries.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return entries[a].name < entries[b].name; });
  for (size_t i = 1; i < order.size(); ++i) {
    const std::string& name = entries[order[i]].name;
    if (name == entries[order[i - 1]].name) return bad_tensor(name, "the name is a duplicate key");
  }
  return Status::ok();
}

Status check_contiguous(const std::vector<SafetensorsEntry>& entries, uint64_t data_bytes) {
  uint64_t covered = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.end > data_bytes) {
      return bad_tensor(entry.name, concat("it ends at byte ", entry.end, " of the data, but the file holds ",
                                           data_bytes, " bytes of data; it is truncated or lies"));
    }
    if (entry.begin != covered) {
      return bad_tensor(entry.name, concat("it starts at byte ", entry.begin,
                                           " of the data, but the tensor before it ends at ", covered,
                                           "; tensors may neither overlap nor leave holes"));
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    return Status(Code::kBadWeights,
                  concat("the tensors end at byte ", covered, " of the data, but the file holds ", data_bytes,
                         " bytes of data; the rest is garbage"));
  }
  return Status::ok();
}

}  // namespace

std::string quoted_name(std::string_view name) {
  constexpr size_t kLongest = 120;
  std::string text = "\"";
  size_t index = 0;
  for (; index < name.size(); ++index) {
    const unsigned char byte = static_cast<unsigned char>(name[index]);
    const bool continues_character = (byte & 0xc0u) == 0x80u;
    if (index >= kLongest && !continues_character) break;
    if (byte < 0x20 || byte == 0x7f) {
      constexpr char kHex[] = "0123456789abcdef";
      text += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15u]};
    } else {
      text += static_cast<char>(byte);
    }
  }
  if (index < name.size()) text += "...";
  return text + '"';
}

Result<SafetensorsHeader> parse_safetensors_header(std::string_view json, uint64_t data_bytes) {
  if (json.empty() || json.front() != '{') {
    return Status(Code::kBadWeights, "the header does not start with '{'; this is no safetensors file");
  }
  SafetensorsHeader header;
  bool has_metadata = false;
  JsonScanner scanner(json);
  PADLESS_RETURN_IF_ERROR(scanner.expect('{'));
  if (!scanner.accept('}')) {
    do {
      std::string name;
      PADLESS_RETURN_IF_ERROR(scanner.string(name));
      PADLESS_RETURN_IF_ERROR(scanner.expect(':'));
      if (name == "__metadata__") {
        if (has_metadata) return scanner.fail("__metadata__ is a duplicate key");
        has_metadata = true;
        PADLESS_RETURN_IF_ERROR(parse_metadata(scanner, header.metadata));
      } else {
        SafetensorsEntry entry;
        entry.name = std::move(name);
        PADLESS_RETURN_IF_ERROR(parse_entry(scanner, entry));
        header.entries.push_back(std::move(entry));
      }
    } while (scanner.accept(','));
    PADLESS_RETURN_IF_ERROR(scanner.expect('}'));
  }
  PADLESS_RETURN_IF_ERROR(scanner.end());
  PADLESS_RETURN_IF_ERROR(check_unique(header.entries));
  const auto position = [](const SafetensorsEntry& entry) {
    return std::tie(entry.begin, entry.end, entry.name);
  };
  std::sort(header.entries.begin(), header.entries.end(),
            [&](const SafetensorsEntry& a, const SafetensorsEntry& b) { return position(a) < position(b); });
  PADLESS_RETURN_IF_ERROR(check_contiguous(header.entries, data_bytes));
  return header;
}

}  // namespace padless
