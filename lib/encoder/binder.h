// Takes an encoder's tensors from a WeightSource, checks their shapes and hands them to the engine.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lib/encoder/weight_source.h"
#include "lib/engine/engine.h"

namespace padless {

class WeightBinder {
 public:
  WeightBinder(Engine& engine, const WeightSource& source, ComputeType compute,
               std::function<Status()> progress)
      : engine_(engine), source_(source), compute_(compute), progress_(std::move(progress)) {}

  /** An embedding table [rows, cols] in the file's dtype. */
  Result<std::shared_ptr<const DeviceTensor>> table(const std::string& name, int64_t rows, int64_t cols);
  /** A vector [size] as f32. */
  Result<std::shared_ptr<const DeviceTensor>> vector(const std::string& name, int64_t size);
  /** prefix.weight [out, in] and prefix.bias [out] of each prefix, stacked; a missing bias is none. */
  Result<std::shared_ptr<const LinearWeight>> linear(std::initializer_list<std::string> prefixes, int64_t in,
                                                     const std::vector<int64_t>& outs);
  /** Rows `rows` of prefix.weight [out, in] and of prefix.bias [out], in that order. */
  Result<std::shared_ptr<const LinearWeight>> linear_rows(const std::string& prefix, int64_t in, int64_t out,
                                                          std::span<const int32_t> rows);
  bool has(const std::string& name) const { return source_.has(name); }

 private:
  Result<HostTensor> checked(const std::string& name, std::vector<int64_t> shape);

  Engine& engine_;
  const WeightSource& source_;
  ComputeType compute_;
  std::function<Status()> progress_;  // after each product or table; an error of its own stops the loading
};

}  // namespace padless
