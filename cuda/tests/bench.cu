// The microbenchmarks without a GPU: arguments, lengths, reports; and every benchmark at a tiny size.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <numeric>
#include <sstream>

#include "cuda/bench/lengths.h"
#include "cuda/bench/setting.h"
#include "cuda/gemm/sm90/tiles.h"
#include "cuda/gemm/tiles.h"
#include "cuda/tests/support.h"

namespace padless::cuda::test {
namespace {

// Other schedules of this test run beside it.
std::string own_file(const char* name) { return concat(name, ".", getpid()); }

using bench::Options;

Result<Options> parse(const std::vector<const char*>& arguments) { return bench::parse_options(arguments); }

void test_arguments() {
  const auto options = parse({"--op", "linear,attention", "--shape", "384x6x1536", "--lengths", "bimodal",
                              "--batch", "3", "--max-length", "128", "--ratio", "0.25", "--seed", "9",
                              "--samples", "2", "--json", "out.json"});
  check_ok(options.status(), "all options");
  const Options& o = options.value();
  check(o.ops == std::vector<std::string>{"linear", "attention"} && o.shape.hidden == 384 &&
            o.shape.heads == 6 && o.shape.mlp == 1536 && o.shape.head_dim() == 64 && o.lengths == "bimodal" &&
            o.batch == 3 && o.max_length == 128 && o.ratio == 0.25 && o.seed == 9 && o.samples == 2 &&
            o.json == "out.json",
        "options as given");
  check(parse({}).value().shape.hidden == 768 && parse({"--shape", "large"}).value().shape.heads == 16,
        "named shapes");
  check(parse({"--help", "--nonsense"}).value().help, "--help ends parsing");
  const auto refuse = [](const std::vector<const char*>& arguments, const char* names) {
    const Status status = parse(arguments).status();
    check(status.code() == Code::kInvalidArgument && status.message().find(names) != std::string::npos,
          concat("refuses ", arguments[0], ": ", status.message()));
  };
  refuse({"--op", "linear,gemm"}, "gemm");
  refuse({"--op"}, "--op");
  refuse({"--shape", "768x12"}, "768x12");
  refuse({"--shape", "768x7x3072"}, "HIDDENxHEADSxMLP");
  refuse({"--batch", "0"}, "--batch");
  refuse({"--batch", "4x"}, "4x");
  refuse({"--ratio", "1.5"}, "--ratio");
  refuse({"--ratio", "nan"}, "--ratio");
  refuse({"--batches", "3"}, "--batches");
  refuse({"--json", ""}, "--json");
  check(bench::usage().find("disentangled") != std::string::npos, "usage lists the ops");
}

void test_lengths() {
  Options options;
  options.batch = 4000;
  options.max_length = 512;
  for (const char* kind : {"uniform", "lognormal", "bimodal"}) {
    for (double ratio : {0.2, 0.5, 0.6}) {
      options.lengths = kind;
      options.ratio = ratio;
      const auto lengths = bench::make_lengths(options).take();
      const auto [low, high] = std::ranges::minmax(lengths);
      const double mean = static_cast<double>(std::accumulate(lengths.begin(), lengths.end(), int64_t{0})) /
                          static_cast<double>(lengths.size()) / 512;
      // Cutting at the longest lowers the mean of the log-normal.
      const double tolerance = options.lengths == "lognormal" ? 0.12 * ratio : 0.03;
      check(lengths.size() == 4000 && low >= 1 && high <= 512 && std::fabs(mean - ratio) < tolerance,
            concat(kind, " lengths of ratio ", ratio, " have mean ", mean, " from ", low, " to ", high));
      check(lengths == bench::make_lengths(options).value(), concat(kind, ": a seed, one batch"));
    }
  }
  options.lengths = own_file("bench_lengths");
  std::ofstream(options.lengths) << "3\n512\n\n1\n";
  check(bench::make_lengths(options).value() == std::vector<int32_t>{3, 512, 1}, "lengths of a file");
  std::ofstream(options.lengths) << "3\n513\n";
  check(bench::make_lengths(options).status().code() == Code::kInvalidArgument, "a length above the longest");
  std::remove(options.lengths.c_str());
  check(bench::make_lengths(options).status().code() == Code::kInvalidArgument, "a file that is not there");
}

void test_report() {
  const bench::Roof roof{.flops = 1e12, .bytes = 1e11};
  const bench::Measurement bytes_bound{.op = "a", .name = "b", .seconds = 2e-3, .flops = 1e8, .bytes = 1e8};
  check(std::fabs(bench::fraction_of_roof(bytes_bound, roof) - 0.5) < 1e-12, "a fraction of the byte roof");
  const bench::Measurement flops_bound{.op = "a", .name = "b", .seconds = 2e-3, .flops = 1e9, .bytes = 1e7};
  check(std::fabs(bench::fraction_of_roof(flops_bound, roof) - 0.5) < 1e-12, "a fraction of the FLOP roof");
  check(bench::fraction_of_roof({}, roof) == 0, "no time, no fraction");
}

// Every benchmark runs, and its report has a line for each measurement. Quick: without those of kernels that
// have tests of their own.
void test_runs(bool quick) {
  Options options;
  options.shape = {"tiny", 64, 2, 128};
  options.batch = 3;
  options.max_length = 24;
  options.samples = 1;
  options.json = own_file("bench_report");
  std::remove(options.json.c_str());
  auto setting = bench::Setting::create(options, 1024);
  check_ok(setting.status(), "setting");
  auto report = bench::Report::open(options, {"emu \"lator\"", 90, 132}, {.flops = 1e12, .bytes = 1e11});
  check_ok(report.status(), "report");
  for (const char* op : {"residual_norm", "embed_norm", "gather_rows", "head_norm", "rope", "pool_rows"}) {
    check_ok(bench::bench_rows(setting.value(), report.value(), op), op);
    setting.value().release();
  }
  check_ok(bench::bench_ladder(setting.value(), report.value()), "ladder");
  if (!quick) {
    check_ok(bench::bench_linear(setting.value(), report.value()), "linear");
    check_ok(bench::bench_linear_norm(setting.value(), report.value()), "linear_norm");
    check_ok(bench::bench_attention(setting.value(), report.value(), false), "attention");
    check_ok(bench::bench_attention(setting.value(), report.value(), true), "disentangled");
  }
  { const bench::Report closed = report.take(); }
  std::ifstream file(options.json);
  std::map<std::string, int> counts;
  for (std::string line; std::getline(file, line);) {
    check(line.starts_with("{\"device\":\"emu \\\"lator\\\"\",\"compute_capability\":90,\"sms\":132,") &&
              line.ends_with("}"),
          line);
    const size_t op = line.find("\"op\":\"") + 6;
    counts[line.substr(op, line.find('"', op) - op)]++;
    if (line.find("grouped 64/256 on 4, sorted") == std::string::npos) continue;
    const char* const plan = ",\"strategy\":\"grouped\",\"edges\":[64,256],\"streams\":4,\"sorted\":true}";
    check(line.ends_with(plan), line);
  }
  const bool hopper = setting.value().device().runs_sm90a();
  const auto expect = [&](const char* op, int expected) {
    const int lines = quick ? 0 : expected;
    check(counts[op] == lines, concat(counts[op], " lines of ", op, ", not ", lines));
  };
  expect("linear", 4);
  expect("linear_portable", 4);
  expect("linear_plan", 4 * (hopper ? kPersistentTileCount + kSwappedTileCount : kTileShapeCount));
  expect("linear_fp8", hopper ? 4 : 0);
  expect("quantize_rows", hopper ? 4 : 0);
  expect("linear_norm", 2 * (hopper ? 3 : 1));  // in two kernels, and in one by either tile
  expect("attention", 2 * (4 + 7 * 2));         // of seven sets of edges, each on one stream and on four
  expect("disentangled", 2 * 3);
  std::remove(options.json.c_str());
}

}  // namespace
}  // namespace padless::cuda::test

int main(int argc, char**) {
  using namespace padless::cuda;
  test::test_arguments();
  test::test_lengths();
  test::test_report();
  test::test_runs(argc > 1);
  return test::report("bench");
}
