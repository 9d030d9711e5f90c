// Takes an encoder's tensors from a WeightSource, checks their shapes and hands them to the engine.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lib/encoder/weight_source.h"
#include "lib/engine/engine.h"

namespace padless {

class PackedCache;

/** [rows, cols] to [cols, rows]. */
std::vector<float> transposed(const std::vector<float>& matrix, int64_t rows, int64_t cols);

class WeightBinder {
 public:
  /** `cache` may be null. */
  WeightBinder(Engine& engine, const WeightSource& source, ComputeType compute, PackedCache* cache,
               std::function<Status()> progress)
      : engine_(engine), source_(source), compute_(compute), cache_(cache), progress_(std::move(progress)) {}

  /** An embedding table [rows, cols] in the file's dtype. */
  Result<std::shared_ptr<const DeviceTensor>> table(const std::string& name, int64_t rows, int64_t cols);
  /** A vector [size] as f32, `offset` added to every element. */
  Result<std::shared_ptr<const DeviceTensor>> vector(const std::string& name, int64_t size, float offset = 0);
  /** A tensor's values, for what is computed once at load. */
  Result<std::vector<float>> floats(const std::string& name, const std::vector<int64_t>& shape);
  /** `values` as an f32 tensor of the engine. */
  Result<std::shared_ptr<const DeviceTensor>> upload(const std::vector<float>& values,
                                                     const std::vector<int64_t>& shape);
  /** kBadWeights if the checkpoint has a tensor that the model's kind does not use. */
  Status check_absent(const std::string& name) const;
  /** prefix.weight [out, in] and prefix.bias [out] of each prefix, stacked; a missing bias is none. */
  Result<std::shared_ptr<const LinearWeight>> linear(const std::vector<std::string>& prefixes, int64_t in,
                                                     const std::vector<int64_t>& outs);
  /** Rows `rows` of prefix.weight [out, in] and of prefix.bias [out], in that order. */
  Result<std::shared_ptr<const LinearWeight>> linear_rows(const std::string& prefix, int64_t in, int64_t out,
                                                          std::span<const int32_t> rows);
  /** Takes the same tensors for products in f32. */
  WeightBinder exact() const { return {engine_, source_, ComputeType::kF32, cache_, progress_}; }
  bool has(const std::string& name) const { return source_.has(name); }
  /** activation(gate) * up, each [out, in]. */
  Result<std::shared_ptr<const LinearWeight>> glu(const std::string& gate, const std::string& up, int64_t in,
                                                  int64_t out);
  /** A weight [out, in] that was computed at load from the tensor `name`, with the bias `bias_name` [out] if
   * there is one. */
  Result<std::shared_ptr<const LinearWeight>> computed_linear(const std::string& name,
                                                              const std::vector<float>& weight, int64_t in,
                                                              int64_t out, const std::string& bias_name = {});

 private:
  Result<std::shared_ptr<const LinearWeight>> stacked(std::span<const std::string> prefixes, int64_t in,
                                                      std::span<const int64_t> outs, bool glu);
  Result<LinearPart> part(const std::string& prefix, int64_t in, int64_t out);
  /** `name`: the tensor that an error about the weight is about. */
  Result<std::shared_ptr<const LinearWeight>> pack(const LinearSource& source, const std::string& name);
  Result<HostTensor> checked(const std::string& name, std::vector<int64_t> shape);

  Engine& engine_;
  const WeightSource& source_;
  ComputeType compute_;
  PackedCache* cache_;
  std::function<Status()> progress_;  // after each product or table; an error of its own stops the loading
};

}  // namespace padless
