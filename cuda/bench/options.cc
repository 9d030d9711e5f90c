#include "cuda/bench/options.h"

#include <algorithm>
#include <charconv>

namespace padless::cuda::bench {
namespace {

template <class Number>
bool parse_number(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

template <class Number>
Status number_between(std::string_view name, std::string_view text, Number low, Number high, Number& value) {
  PADLESS_CHECK(parse_number(text, value) && value >= low && value <= high, Code::kInvalidArgument,
                std::string(name), name, " is '", text, "', not a number from ", low, " to ", high);
  return Status::ok();
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0;;) {
    const size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return parts;
    begin = end + 1;
  }
}

std::string op_list() {
  std::string list;
  for (std::string_view name : kOpNames) list += concat(list.empty() ? "" : ", ", name);
  return list;
}

Status parse_ops(std::string_view text, Options& options) {
  for (std::string_view name : split(text, ',')) {
    PADLESS_CHECK(std::ranges::find(kOpNames, name) != std::end(kOpNames), Code::kInvalidArgument, "--op",
                  "--op has no '", name, "'; there are: ", op_list());
    options.ops.emplace_back(name);
  }
  return Status::ok();
}

Status parse_shape(std::string_view text, LayerShape& shape) {
  const LayerShape known[] = {{"base", 768, 12, 3072}, {"large", 1024, 16, 4096}, {"minilm", 384, 12, 1536}};
  for (const LayerShape& each : known) {
    if (each.name == text) {
      shape = each;
      return Status::ok();
    }
  }
  const auto parts = split(text, 'x');
  constexpr int64_t kMost = 16384;
  LayerShape own{std::string(text), 0, 0, 0};
  const bool legal = parts.size() == 3 && parse_number(parts[0], own.hidden) &&
                     parse_number(parts[1], own.heads) && parse_number(parts[2], own.mlp) && own.hidden > 0 &&
                     own.heads > 0 && own.mlp > 0 && own.hidden <= kMost && own.mlp <= kMost &&
                     own.hidden % own.heads == 0;
  PADLESS_CHECK(legal, Code::kInvalidArgument, "--shape", "--shape is '", text,
                "', not base, large, minilm or HIDDENxHEADSxMLP such as 768x12x3072");
  shape = own;
  return Status::ok();
}

Status set_option(std::string_view name, std::string_view value, Options& options) {
  if (name == "--op") return parse_ops(value, options);
  if (name == "--shape") return parse_shape(value, options.shape);
  if (name == "--batch") return number_between<int64_t>(name, value, 1, 65536, options.batch);
  if (name == "--max-length") return number_between<int64_t>(name, value, 1, 65536, options.max_length);
  if (name == "--ratio") return number_between(name, value, 0.01, 1.0, options.ratio);
  if (name == "--seed") return number_between<uint64_t>(name, value, 0, UINT64_MAX, options.seed);
  if (name == "--samples") return number_between(name, value, 1, 10000, options.samples);
  if (name == "--lengths" || name == "--json") {
    PADLESS_CHECK(!value.empty(), Code::kInvalidArgument, std::string(name), name, " is empty");
    (name == "--json" ? options.json : options.lengths) = value;
    return Status::ok();
  }
  return {Code::kInvalidArgument, concat("there is no option ", name, "; see --help"), std::string(name)};
}

}  // namespace

Result<Options> parse_options(std::span<const char* const> arguments) {
  Options options;
  for (size_t i = 0; i < arguments.size(); i++) {
    const std::string_view name = arguments[i];
    if (name == "--help") {
      options.help = true;
      return options;
    }
    PADLESS_CHECK(i + 1 < arguments.size(), Code::kInvalidArgument, std::string(name), name,
                  " needs a value");
    PADLESS_RETURN_IF_ERROR(set_option(name, arguments[++i], options));
  }
  return options;
}

std::string usage() {
  return concat(
      "kernel_bench: microseconds of each CUDA kernel, as a fraction of what this GPU can do\n"
      "  --op NAME[,NAME]                     ",
      op_list(),
      "\n"
      "  --shape base|large|minilm|HxHEADSxM  hidden columns, heads, columns of the feed-forward\n"
      "  --lengths uniform|lognormal|bimodal|FILE   FILE: one length a line\n"
      "  --batch 16  --max-length 512  --ratio 0.6  sequences, longest, mean length over the longest\n"
      "  --seed 1  --samples 30  --json FILE        FILE gets one JSON object a line\n"
      "Exit code 0: measured. 1: an error. 2: wrong arguments. 3: there is no usable GPU.\n");
}

}  // namespace padless::cuda::bench
