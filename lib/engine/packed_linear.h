// What engines offer whose packed weights can be kept in files.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>

#include "lib/engine/weights.h"

namespace padless {

/** A packed linear weight as bytes that another process on the same kind of machine can use. */
struct PackedLinear {
  ComputeType compute = ComputeType::kF32;
  int64_t in_features = 0;
  int64_t out_features = 0;
  bool glu = false;
  /** In the engine's order; empty where the weight has no such part. */
  std::array<std::span<const char>, 4> parts;
  /** Keeps the bytes alive. */
  std::shared_ptr<const void> owner;
};

class PackedLinearEngine {
 public:
  virtual ~PackedLinearEngine() = default;
  /** Names the layouts that pack_linear gives. */
  virtual std::string packing() const = 0;
  /** The bytes of a weight of this engine; they own nothing. */
  virtual PackedLinear packed_linear(const LinearWeight& weight) const = 0;
  /** A weight whose bytes, 64-byte aligned, packed_linear gave; null if they do not fit these layouts. */
  virtual std::shared_ptr<const LinearWeight> adopt_linear(const PackedLinear& packed) = 0;
};

}  // namespace padless
