// Matrix products and whole row programs of the CPU engine as fractions of the roof measured around each
// sample.
//
//   gemm_bench [--compute f32,bf16,i8] [--threads 1,2] [--isa portable|neon|avx2|avx512|amx] [--samples 9]
//              [--only TEXT]    lines whose name contains it
//
// The machine may change speed between samples, so a sample counts only if the roofs before and after it
// agree within 5%; the median fraction of those is printed, with the median rate, and the least time of all.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "bench/native/roof.h"
#include "lib/engine/cpu/linear.h"
#include "lib/engine/cpu/rows/run_rows.h"

namespace padless::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::vector<ComputeType> computes = {ComputeType::kF32, ComputeType::kBF16, ComputeType::kI8};
  std::vector<int> threads = {1, 2};
  IsaLevel level = IsaLevel::kAmx;
  int samples = 9;
  std::string only;
};

std::vector<float> random_values(int64_t count, float deviation) {
  // A table of normal values from a random place on: drawing each would take longer than all measurements.
  static std::mt19937 random(1);
  static const std::vector<float> normals = [] {
    std::normal_distribution<float> normal;
    std::vector<float> table((1 << 16) + 7);
    for (float& value : table) value = normal(random);
    return table;
  }();
  std::vector<float> values(static_cast<size_t>(count));
  size_t next = random() % normals.size();
  for (float& value : values) {
    value = normals[next] * deviation;
    if (++next == normals.size()) next = 0;
  }
  return values;
}

Matrix matrix_of(std::vector<float>& values, int64_t cols) {
  return {values.data(), DType::kF32, static_cast<int64_t>(values.size()) / cols, cols, cols};
}

class Ones final : public DeviceTensor {
 public:
  explicit Ones(int64_t count) : values_(static_cast<size_t>(count), 1.f) {}
  Matrix view() const override {
    return {const_cast<float*>(values_.data()), DType::kF32, 1, static_cast<int64_t>(values_.size()),
            static_cast<int64_t>(values_.size())};
  }
  size_t bytes() const override { return values_.size() * sizeof(float); }

 private:
  std::vector<float> values_;
};

std::shared_ptr<const LinearWeight> random_linear(const CpuContext& context, ComputeType compute, int64_t out,
                                                  int64_t in) {
  const std::vector<float> weight = random_values(out * in, 1.f / std::sqrt(static_cast<float>(in)));
  const std::vector<float> bias = random_values(out, 0.1f);
  LinearSource source;
  source.parts = {{{weight.data(), DType::kF32, {out, in}}, {bias.data(), DType::kF32, {out}}}};
  source.compute = compute;
  auto packed = pack_linear_cpu(context, source);
  return packed.is_ok() ? packed.take() : nullptr;
}

double seconds_of(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

bool is_wanted(const Options& options, const std::string& name) {
  return name.find(options.only) != std::string::npos;
}

/** Prints one line: rate and fraction of the roof of `work`, which does `operations` each time it runs. */
void report(const std::string& name, const CpuContext& context, ComputeType compute, const Options& options,
            double operations, const std::function<void()>& work) {
  work();
  const double once = seconds_of(work);
  const int repeats = std::max(1, static_cast<int>(0.008 / once));
  std::vector<double> rates, fractions, times;
  double least = once;
  for (int attempt = 0; attempt < 5 * options.samples && static_cast<int>(rates.size()) < options.samples;
       ++attempt) {
    const double before = measure_roof(context.isa, compute, context.threads, 2);
    const double time = seconds_of([&] {
                          for (int i = 0; i < repeats; ++i) work();
                        }) /
                        repeats;
    least = std::min(least, time);
    const double after = measure_roof(context.isa, compute, context.threads, 2);
    if (std::abs(before - after) > 0.05 * std::max(before, after)) continue;
    const double roof = (before + after) / 2;
    rates.push_back(operations / time * 1e-9);
    fractions.push_back(roof > 0 ? operations / time / roof : 0);
    times.push_back(time * 1e3);
  }
  const auto median = [](std::vector<double>& values) {
    if (values.empty()) return std::nan("");
    std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(values.size()) / 2, values.end());
    return values[values.size() / 2];
  };
  std::printf("%-34s threads %d  %9.4f ms  %7.1f Gop/s  %5.1f%% of roof  (%zu samples; least %.4f ms)\n",
              name.c_str(), context.threads, median(times), median(rates), 100 * median(fractions),
              rates.size(), least * 1e3);
  std::fflush(stdout);
}

void bench_product(const CpuContext& context, ComputeType compute, const Options& options, int64_t rows,
                   int64_t in, int64_t out) {
  const std::string name = concat("product ", rows, " x ", in, " x ", out);
  if (!is_wanted(options, name)) return;
  const auto weight = random_linear(context, compute, out, in);
  if (!weight) return;
  std::vector<float> x = random_values(rows * in, 1.f);
  std::vector<float> y(static_cast<size_t>(rows * out));
  RowProgram program;
  LinearStep step;
  step.weight = weight;
  step.in = program.bound(0, in);
  step.out = program.bound(1, out);
  program.steps.push_back(step);
  const Matrix matrices[] = {matrix_of(x, in), matrix_of(y, out)};
  report(name, context, compute, options, 2.0 * static_cast<double>(rows * in * out), [&] {
    const Status status = run_rows_cpu(context, program, matrices, rows);
    if (!status.is_ok()) std::abort();
  });
}

struct Model {
  const char* name;
  int layers;
  int64_t hidden;
  int64_t inner;
};

/** The rows of all layers of an encoder, without its attention. */
class ModelRows {
 public:
  ModelRows(const CpuContext& context, ComputeType compute, const Model& model) : model_(model) {
    const auto gamma = std::make_shared<Ones>(model.hidden);
    for (int layer = 0; layer < model.layers; ++layer) {
      RowProgram program;
      const Slot attention = program.bound(0, model.hidden);
      const Slot hidden = program.bound(1, model.hidden);
      const Slot qkv = program.bound(2, 3 * model.hidden);
      const Slot inner = program.temporary(model.inner);
      const auto linear = [&](int64_t out, int64_t in, Slot from, Slot to, Slot residual,
                              Activation activation) {
        program.steps.push_back(
            LinearStep{random_linear(context, compute, out, in), from, to, residual, activation});
      };
      linear(model.hidden, model.hidden, attention, hidden, hidden, Activation::kNone);
      program.steps.push_back(NormStep{NormKind::kLayer, gamma, gamma, 1e-12f, hidden, hidden});
      linear(model.inner, model.hidden, hidden, inner, kNoSlot, Activation::kGeluErf);
      linear(model.hidden, model.inner, inner, hidden, hidden, Activation::kNone);
      program.steps.push_back(NormStep{NormKind::kLayer, gamma, gamma, 1e-12f, hidden, hidden});
      linear(3 * model.hidden, model.hidden, hidden, qkv, kNoSlot, Activation::kNone);
      programs_.push_back(std::move(program));
    }
  }

  static std::string name(const Model& model, int64_t rows) {
    return concat(model.name, " rows of ", rows, " tokens");
  }

  bool is_supported() const { return std::get<LinearStep>(programs_[0].steps[0]).weight != nullptr; }

  void bench(const CpuContext& context, ComputeType compute, const Options& options, int64_t rows) const {
    std::vector<float> attention = random_values(rows * model_.hidden, 1.f);
    std::vector<float> hidden = random_values(rows * model_.hidden, 1.f);
    std::vector<float> qkv(static_cast<size_t>(rows * 3 * model_.hidden));
    const Matrix matrices[] = {matrix_of(attention, model_.hidden), matrix_of(hidden, model_.hidden),
                               matrix_of(qkv, 3 * model_.hidden)};
    const double weights = static_cast<double>(model_.layers) * static_cast<double>(model_.hidden) *
                           static_cast<double>(4 * model_.hidden + 2 * model_.inner);
    report(name(model_, rows), context, compute, options, 2.0 * weights * static_cast<double>(rows), [&] {
      for (const RowProgram& program : programs_) {
        const Status status = run_rows_cpu(context, program, matrices, rows);
        if (!status.is_ok()) std::abort();
      }
    });
  }

 private:
  Model model_;
  std::vector<RowProgram> programs_;
};

void bench_compute(const Options& options, ComputeType compute) {
  CpuContext context{restrict_isa(detect_cpu_isa(), options.level), detect_cache_sizes(), 1};
  const char* name = compute == ComputeType::kF32 ? "f32" : compute == ComputeType::kBF16 ? "bf16" : "i8";
  for (int threads : options.threads) {
    context.threads = threads;
    std::printf("\n%s on %s, %d threads: roof %.1f Gop/s (%s)\n", name, isa_name(context.isa).c_str(),
                threads, measure_roof(context.isa, compute, threads, 20) * 1e-9,
                roof_instruction(context.isa, compute));
    for (int64_t hidden : {384, 768}) {
      for (int64_t rows : {16, 64, 1024}) {
        bench_product(context, compute, options, rows, hidden, hidden);
        bench_product(context, compute, options, rows, hidden, 3 * hidden);
        bench_product(context, compute, options, rows, hidden, 4 * hidden);
        bench_product(context, compute, options, rows, 4 * hidden, hidden);
      }
    }
  }
  for (const Model& model : {Model{"MiniLM", 6, 384, 1536}, Model{"BERT-base", 12, 768, 3072}}) {
    std::vector<int64_t> batches;
    for (int64_t tokens : {1, 16, 64, 256, 1024}) {
      if (is_wanted(options, ModelRows::name(model, tokens))) batches.push_back(tokens);
    }
    if (batches.empty()) continue;
    const ModelRows rows(context, compute, model);
    if (!rows.is_supported()) continue;
    for (int threads : options.threads) {
      context.threads = threads;
      for (int64_t tokens : batches) rows.bench(context, compute, options, tokens);
    }
  }
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts = {""};
  for (char letter : text) {
    if (letter == ',') {
      parts.emplace_back();
    } else {
      parts.back().push_back(letter);
    }
  }
  return parts;
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--compute") {
      options.computes.clear();
      for (const std::string& part : split(value)) {
        options.computes.push_back(part == "i8"     ? ComputeType::kI8
                                   : part == "bf16" ? ComputeType::kBF16
                                                    : ComputeType::kF32);
      }
    } else if (name == "--threads") {
      options.threads.clear();
      for (const std::string& part : split(value)) options.threads.push_back(std::atoi(part.c_str()));
    } else if (name == "--isa") {
      options.level = find_isa_level(value).value_or(options.level);
    } else if (name == "--samples") {
      options.samples = std::atoi(value.c_str());
    } else if (name == "--only") {
      options.only = value;
    } else {
      return false;
    }
  }
  return argc % 2 == 1;
}

}  // namespace
}  // namespace padless::bench

int main(int argc, char** argv) {
  using namespace padless;
  bench::Options options;
  if (!bench::parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: gemm_bench [--compute f32,bf16,i8] [--threads 1,2] [--isa LEVEL] [--samples N] "
                 "[--only TEXT]\n");
    return EXIT_FAILURE;
  }
  for (ComputeType compute : options.computes) bench::bench_compute(options, compute);
  return EXIT_SUCCESS;
}
