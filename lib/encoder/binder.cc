#include "lib/encoder/binder.h"

namespace padless {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

/** A view of row `row`, as a tensor of one row. */
HostTensor row_of(const HostTensor& tensor, int32_t row) {
  HostTensor one = tensor;
  one.shape[0] = 1;
  one.data = static_cast<const char*>(tensor.data) +
             static_cast<int64_t>(dtype_size(tensor.dtype)) * one.elements() * row;
  return one;
}

}  // namespace

Result<HostTensor> WeightBinder::checked(const std::string& name, std::vector<int64_t> shape) {
  Result<HostTensor> tensor = source_.tensor(name);
  if (!tensor.is_ok()) return tensor;
  PADLESS_CHECK(tensor.value().shape == shape, Code::kBadWeights, source_.label(name), source_.label(name),
                " has shape ", shape_text(tensor.value().shape), "; config.json asks for ",
                shape_text(shape));
  return tensor;
}

Result<std::shared_ptr<const DeviceTensor>> WeightBinder::table(const std::string& name, int64_t rows,
                                                                int64_t cols) {
  Result<HostTensor> tensor = checked(name, {rows, cols});
  if (!tensor.is_ok()) return tensor.status();
  auto uploaded = engine_.upload(tensor.value(), tensor.value().dtype);
  source_.release(name);
  PADLESS_RETURN_IF_ERROR(progress_());
  return uploaded;
}

Result<std::shared_ptr<const DeviceTensor>> WeightBinder::vector(const std::string& name, int64_t size) {
  Result<HostTensor> tensor = checked(name, {size});
  if (!tensor.is_ok()) return tensor.status();
  return engine_.upload(tensor.value(), DType::kF32);
}

Result<std::shared_ptr<const LinearWeight>> WeightBinder::linear(std::initializer_list<std::string> prefixes,
                                                                 int64_t in,
                                                                 const std::vector<int64_t>& outs) {
  LinearSource source;
  source.compute = compute_;
  size_t index = 0;
  for (const std::string& prefix : prefixes) {
    const int64_t out = outs[index++];
    LinearPart part;
    Result<HostTensor> weight = checked(prefix + ".weight", {out, in});
    if (!weight.is_ok()) return weight.status();
    part.weight = weight.take();
    if (source_.has(prefix + ".bias")) {
      Result<HostTensor> bias = checked(prefix + ".bias", {out});
      if (!bias.is_ok()) return bias.status();
      part.bias = bias.take();
    }
    source.parts.push_back(std::move(part));
  }
  auto packed = engine_.pack_linear(source);
  for (const std::string& prefix : prefixes) source_.release(prefix + ".weight");
  PADLESS_RETURN_IF_ERROR(progress_());
  return packed;
}

Result<std::shared_ptr<const LinearWeight>> WeightBinder::linear_rows(const std::string& prefix, int64_t in,
                                                                      int64_t out,
                                                                      std::span<const int32_t> rows) {
  Result<HostTensor> weight = checked(prefix + ".weight", {out, in});
  if (!weight.is_ok()) return weight.status();
  HostTensor all_bias;
  if (source_.has(prefix + ".bias")) {
    Result<HostTensor> bias = checked(prefix + ".bias", {out});
    if (!bias.is_ok()) return bias.status();
    all_bias = bias.take();
  }
  LinearSource source;
  source.compute = compute_;
  for (int32_t row : rows) {
    PADLESS_CHECK(row >= 0 && row < out, Code::kInvalidArgument, prefix, "row ", row,
                  " of a weight that has ", out);
    LinearPart part{row_of(weight.value(), row), {}};
    if (all_bias.data) part.bias = row_of(all_bias, row);
    source.parts.push_back(std::move(part));
  }
  auto packed = engine_.pack_linear(source);
  source_.release(prefix + ".weight");
  PADLESS_RETURN_IF_ERROR(progress_());
  return packed;
}

}  // namespace padless
