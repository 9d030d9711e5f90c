#include "lib/encoder/binder.h"

#include "lib/encoder/packed_cache.h"

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

std::vector<float> transposed(const std::vector<float>& matrix, int64_t rows, int64_t cols) {
  std::vector<float> result(matrix.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) result[c * rows + r] = matrix[r * cols + c];
  }
  return result;
}

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
  // The check has read all of it; the upload brings back what it copies, piece by piece.
  if (tensor.value().let_go) tensor.value().let_go(0, tensor.value().bytes());
  auto uploaded = engine_.upload(tensor.value(), tensor.value().dtype);
  source_.release(name);
  PADLESS_RETURN_IF_ERROR(progress_());
  return uploaded;
}

Result<std::shared_ptr<const DeviceTensor>> WeightBinder::vector(const std::string& name, int64_t size,
                                                                 float offset) {
  Result<HostTensor> tensor = checked(name, {size});
  if (!tensor.is_ok()) return tensor.status();
  if (offset == 0) return engine_.upload(tensor.value(), DType::kF32);
  std::vector<float> values(static_cast<size_t>(size));
  read_floats(tensor.value(), 0, size, values.data());
  for (float& value : values) value += offset;
  return upload(values, {size});
}

Result<std::vector<float>> WeightBinder::floats(const std::string& name, const std::vector<int64_t>& shape) {
  Result<HostTensor> tensor = checked(name, shape);
  if (!tensor.is_ok()) return tensor.status();
  std::vector<float> values(static_cast<size_t>(tensor.value().elements()));
  read_floats(tensor.value(), 0, tensor.value().elements(), values.data());
  source_.release(name);
  return values;
}

Result<std::shared_ptr<const DeviceTensor>> WeightBinder::upload(const std::vector<float>& values,
                                                                 const std::vector<int64_t>& shape) {
  return engine_.upload({values.data(), DType::kF32, shape}, DType::kF32);
}

Status WeightBinder::check_absent(const std::string& name) const {
  PADLESS_CHECK(!source_.has(name), Code::kBadWeights, source_.label(name), "the checkpoint has a tensor ",
                source_.label(name), ", but config.json says that the model computes without it");
  return Status::ok();
}

Result<LinearPart> WeightBinder::part(const std::string& prefix, int64_t in, int64_t out) {
  LinearPart part;
  Result<HostTensor> weight = checked(prefix + ".weight", {out, in});
  if (!weight.is_ok()) return weight.status();
  part.weight = weight.take();
  if (!source_.has(prefix + ".bias")) return part;
  Result<HostTensor> bias = checked(prefix + ".bias", {out});
  if (!bias.is_ok()) return bias.status();
  part.bias = bias.take();
  return part;
}

Result<std::shared_ptr<const LinearWeight>> WeightBinder::pack(const LinearSource& source,
                                                               const std::string& name) {
  auto packed = engine_.pack_linear(source);
  if (const Status status = packed.status(); status.field() == "weight") {
    const std::string label = source_.label(name);
    return Status(status.code(), concat(label, ": ", status.message()), label);
  }
  PADLESS_RETURN_IF_ERROR(progress_());
  return packed;
}

Result<std::shared_ptr<const LinearWeight>> WeightBinder::linear_rows(const std::string& prefix, int64_t in,
                                                                      int64_t out,
                                                                      std::span<const int32_t> rows) {
  Result<LinearPart> all = part(prefix, in, out);
  if (!all.is_ok()) return all.status();
  LinearSource source;
  source.compute = compute_;
  for (int32_t row : rows) {
    PADLESS_CHECK(row >= 0 && row < out, Code::kInvalidArgument, prefix, "row ", row,
                  " of a weight that has ", out);
    LinearPart one{row_of(all.value().weight, row), {}};
    if (all.value().bias.data) one.bias = row_of(all.value().bias, row);
    source.parts.push_back(std::move(one));
  }
  auto packed = pack(source, prefix + ".weight");
  source_.release(prefix + ".weight");
  return packed;
}

Result<std::shared_ptr<const LinearWeight>> WeightBinder::stacked(std::span<const std::string> prefixes,
                                                                  int64_t in, std::span<const int64_t> outs,
                                                                  bool glu) {
  std::string kept_as;
  int64_t out = 0;
  for (size_t i = 0; i < prefixes.size(); ++i) {
    kept_as += prefixes[i] + " ";
    out += outs[i];
  }
  if (cache_) {
    if (auto weight = cache_->find(kept_as, compute_, in, glu ? out / 2 : out, glu)) {
      PADLESS_RETURN_IF_ERROR(progress_());
      return weight;
    }
  }
  LinearSource source;
  source.compute = compute_;
  source.glu = glu;
  for (const std::string& prefix : prefixes) {
    Result<LinearPart> next = part(prefix, in, outs[source.parts.size()]);
    if (!next.is_ok()) return next.status();
    source.parts.push_back(next.take());
  }
  auto packed = pack(source, prefixes[0] + ".weight");
  for (const std::string& prefix : prefixes) source_.release(prefix + ".weight");
  if (cache_ && packed.is_ok()) cache_->keep(kept_as, packed.value());
  return packed;
}

Result<std::shared_ptr<const LinearWeight>> WeightBinder::linear(const std::vector<std::string>& prefixes,
                                                                 int64_t in,
                                                                 const std::vector<int64_t>& outs) {
  return stacked(prefixes, in, outs, false);
}

Result<std::shared_ptr<const LinearWeight>> WeightBinder::glu(const std::string& gate, const std::string& up,
                                                              int64_t in, int64_t out) {
  const std::string prefixes[] = {gate, up};
  const int64_t outs[] = {out, out};
  return stacked(prefixes, in, outs, true);
}

Result<std::shared_ptr<const LinearWeight>> WeightBinder::computed_linear(const std::string& name,
                                                                          const std::vector<float>& weight,
                                                                          int64_t in, int64_t out,
                                                                          const std::string& bias_name) {
  LinearSource source;
  source.compute = compute_;
  LinearPart& only = source.parts.emplace_back();
  only.weight = {weight.data(), DType::kF32, {out, in}};
  if (source_.has(bias_name)) {
    Result<HostTensor> bias = checked(bias_name, {out});
    if (!bias.is_ok()) return bias.status();
    only.bias = bias.take();
  }
  return pack(source, name);
}

}  // namespace padless
