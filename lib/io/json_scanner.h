// A strict scanner for the JSON that a safetensors header is made of: objects, arrays, strings and
// non-negative integers. It keeps no tree and never recurses, so hostile input costs neither stack nor memory
// beyond the strings asked for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/core/status.h"

namespace padless {

class JsonScanner {
 public:
  /** `text` must outlive the scanner. */
  explicit JsonScanner(std::string_view text) : text_(text) {}

  /** Consumes `token` if it comes next, whitespace before it included. */
  bool accept(char token);

  /** Consumes `token`, or fails with kBadWeights and the byte's position. */
  Status expect(char token);

  /** A string with its escapes resolved; refuses control characters, lone surrogates and invalid UTF-8. */
  Status string(std::string& value);

  /** An integer in [0, 2^63 - 1] in plain digits; refuses signs, fractions, exponents and leading zeros. */
  Status integer(int64_t& value);

  /** Nothing but whitespace may be left. */
  Status end();

  /** kBadWeights: "header byte N: `message`". */
  Status fail(const std::string& message) const;

 private:
  void skip_whitespace();
  Status escape(std::string& value);
  Status hex4(uint32_t& value);
  Status utf8_sequence(std::string& value);
  /** The next byte for a message: its character, its number, or that the text ends. */
  std::string next_byte() const;

  std::string_view text_;
  size_t position_ = 0;
};

}  // namespace padless
