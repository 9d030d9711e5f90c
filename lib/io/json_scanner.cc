#include "lib/io/json_scanner.h"

#include <limits>

namespace padless {

namespace {

void append_utf8(std::string& value, uint32_t code_point) {
  const auto continuation = [&](int shift) {
    value += static_cast<char>(0x80u | ((code_point >> shift) & 0x3fu));
  };
  if (code_point < 0x80) {
    value += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    value += static_cast<char>(0xc0u | (code_point >> 6));
    continuation(0);
  } else if (code_point < 0x10000) {
    value += static_cast<char>(0xe0u | (code_point >> 12));
    continuation(6);
    continuation(0);
  } else {
    value += static_cast<char>(0xf0u | (code_point >> 18));
    continuation(12);
    continuation(6);
    continuation(0);
  }
}

bool is_high_surrogate(uint32_t unit) { return unit >= 0xd800 && unit <= 0xdbff; }
bool is_low_surrogate(uint32_t unit) { return unit >= 0xdc00 && unit <= 0xdfff; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

Status JsonScanner::fail(const std::string& message) const {
  return Status(Code::kBadWeights, concat("header byte ", position_, ": ", message));
}

std::string JsonScanner::next_byte() const {
  if (position_ >= text_.size()) return "the header ends";
  const unsigned char byte = static_cast<unsigned char>(text_[position_]);
  if (byte > 0x20 && byte < 0x7f) return concat("'", static_cast<char>(byte), "' comes");
  return concat("byte ", static_cast<int>(byte), " comes");
}

void JsonScanner::skip_whitespace() {
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return;
    ++position_;
  }
}

bool JsonScanner::accept(char token) {
  skip_whitespace();
  if (position_ >= text_.size() || text_[position_] != token) return false;
  ++position_;
  return true;
}

Status JsonScanner::expect(char token) {
  if (accept(token)) return Status::ok();
  return fail(concat("expected '", token, "', but ", next_byte()));
}

Status JsonScanner::end() {
  skip_whitespace();
  if (position_ == text_.size()) return Status::ok();
  return fail(concat("expected the end, but ", next_byte()));
}

Status JsonScanner::integer(int64_t& value) {
  skip_whitespace();
  if (position_ >= text_.size() || !is_digit(text_[position_])) {
    return fail(concat("expected a non-negative integer, but ", next_byte()));
  }
  if (text_[position_] == '0' && position_ + 1 < text_.size() && is_digit(text_[position_ + 1])) {
    return fail("a number has a leading zero");
  }
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  value = 0;
  while (position_ < text_.size() && is_digit(text_[position_])) {
    const int64_t digit = text_[position_] - '0';
    if (value > (kMax - digit) / 10) return fail("a number exceeds 2^63 - 1");
    value = value * 10 + digit;
    ++position_;
  }
  if (position_ < text_.size()) {
    const char next = text_[position_];
    if (next == '.' || next == 'e' || next == 'E') return fail("a number is not an integer in plain digits");
  }
  return Status::ok();
}

Status JsonScanner::string(std::string& value) {
  PADLESS_RETURN_IF_ERROR(expect('"'));
  value.clear();
  while (position_ < text_.size()) {
    const unsigned char byte = static_cast<unsigned char>(text_[position_]);
    if (byte == '"') {
      ++position_;
      return Status::ok();
    }
    if (byte < 0x20) return fail("a string holds a raw control character");
    if (byte == '\\') {
      PADLESS_RETURN_IF_ERROR(escape(value));
    } else if (byte < 0x80) {
      value += static_cast<char>(byte);
      ++position_;
    } else {
      PADLESS_RETURN_IF_ERROR(utf8_sequence(value));
    }
  }
  return fail("a string has no end");
}

Status JsonScanner::hex4(uint32_t& value) {
  if (text_.size() - position_ < 4) return fail("a \\u escape is cut off");
  value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = text_[position_];
    uint32_t digit;
    if (is_digit(c)) {
      digit = static_cast<uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint32_t>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<uint32_t>(c - 'A' + 10);
    } else {
      return fail("a \\u escape needs four hexadecimal digits");
    }
    value = value * 16 + digit;
    ++position_;
  }
  return Status::ok();
}

Status JsonScanner::escape(std::string& value) {
  ++position_;
  if (position_ >= text_.size()) return fail("an escape is cut off");
  const char kind = text_[position_++];
  switch (kind) {
    case '"':
      value += '"';
      return Status::ok();
    case '\\':
      value += '\\';
      return Status::ok();
    case '/':
      value += '/';
      return Status::ok();
    case 'b':
      value += '\b';
      return Status::ok();
    case 'f':
      value += '\f';
      return Status::ok();
    case 'n':
      value += '\n';
      return Status::ok();
    case 'r':
      value += '\r';
      return Status::ok();
    case 't':
      value += '\t';
      return Status::ok();
    case 'u':
      break;
    default:
      --position_;
      return fail("an unknown escape");
  }
  uint32_t unit;
  PADLESS_RETURN_IF_ERROR(hex4(unit));
  if (is_low_surrogate(unit)) return fail("a lone low surrogate");
  if (is_high_surrogate(unit)) {
    if (text_.substr(position_, 2) != "\\u") return fail("a lone high surrogate");
    position_ += 2;
    uint32_t low;
    PADLESS_RETURN_IF_ERROR(hex4(low));
    if (!is_low_surrogate(low)) return fail("a lone high surrogate");
    unit = 0x10000u + ((unit - 0xd800u) << 10) + (low - 0xdc00u);
  }
  append_utf8(value, unit);
  return Status::ok();
}

// Well-formed sequences are those of the Unicode Standard, table 3-7: no overlong forms, no surrogates,
// nothing above U+10FFFF. Only the second byte's range depends on the first.
Status JsonScanner::utf8_sequence(std::string& value) {
  const auto byte_at = [&](size_t index) {
    return index < text_.size() ? static_cast<unsigned char>(text_[index]) : 0u;
  };
  const unsigned first = byte_at(position_);
  size_t length;
  unsigned low = 0x80;
  unsigned high = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  } else {
    return fail("invalid UTF-8");
  }
  const unsigned second = byte_at(position_ + 1);
  if (second < low || second > high) return fail("invalid UTF-8");
  for (size_t i = 2; i < length; ++i) {
    if ((byte_at(position_ + i) & 0xc0u) != 0x80u) return fail("invalid UTF-8");
  }
  value.append(text_.substr(position_, length));
  position_ += length;
  return Status::ok();
}

}  // namespace padless
