// Shared-memory operands of wgmma: the matrix descriptor and the canonical layouts that it can describe.
//
// In 16-byte chunks (eight elements of 16 bits, sixteen of 8 bits, which are always K-major), with span = 16,
// 32, 64 or 128 bytes for no swizzle .. 128-byte swizzle:
//   K-major:  row r, k chunk c  at  (r % 8) * span + (r / 8) * stride + (swizzled ? c * 16 : c * leading)
//   MN-major: k row r, chunk c  at  swizzled: (c % w) * 16 + (c / w) * leading + (r % 8) * span + (r / 8) *
//   stride
//                                   else:     c * stride + (r % 8) * 16 + (r / 8) * leading        with w =
//                                   span / 16
// and then the address bits are swizzled. (PTX manual, "Asynchronous warpgroup-level matrix shared memory
// layout".)
#include "cuda/emulator/half_types.h"
#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/state.h"
#include "cuda/emulator/tensor_map.h"
#include "cuda/emulator/wgmma_state.h"

namespace padless::cuda::emulator {
namespace {

constexpr unsigned kChunkBytes = 16;

unsigned chunk_elements(Element type) { return type == Element::e4m3 ? 16 : 8; }

float element(const uint8_t* chunk, unsigned index, Element type) {
  if (type == Element::e4m3) return e4m3_bits_to_float(chunk[index]);
  const auto bits = static_cast<uint16_t>(chunk[2 * index] | chunk[2 * index + 1] << 8);
  return type == Element::bf16 ? bf16_bits_to_float(bits) : fp16_bits_to_float(bits);
}

struct Descriptor {
  uint32_t start, leading, stride;  // bytes
  unsigned swizzle;                 // as in TensorMap
};

Descriptor decode(uint64_t bits) {
  constexpr unsigned kSwizzleOfLayoutType[4] = {0, 3, 2, 1};
  const auto field = [&](unsigned shift) { return static_cast<uint32_t>((bits >> shift) & 0x3FFF) << 4; };
  return {field(0), field(16), field(32), kSwizzleOfLayoutType[bits >> 62]};
}

uint32_t chunk_address(const Descriptor& d, bool mn_major, unsigned row, unsigned chunk) {
  const unsigned span = 16u << d.swizzle, chunks_in_span = span / kChunkBytes;
  const uint32_t row_offset = row % 8 * span;
  uint32_t offset;
  if (!mn_major) {
    offset = row_offset + row / 8 * d.stride + chunk * (d.swizzle != 0 ? kChunkBytes : d.leading);
  } else if (d.swizzle != 0) {
    offset = chunk % chunks_in_span * kChunkBytes + chunk / chunks_in_span * d.leading + row_offset +
             row / 8 * d.stride;
  } else {
    offset = chunk * d.stride + row % 8 * kChunkBytes + row / 8 * d.leading;
  }
  return swizzle_address(d.start + offset, d.swizzle);
}

// store(row, first element of the chunk, element in the chunk, value)
template <class Store>
void load_chunks(const WgmmaTile& tile, unsigned first_row, unsigned rows, unsigned first_chunk,
                 unsigned chunks, Store store) {
  const Descriptor descriptor = decode(tile.descriptor);
  const unsigned elements = chunk_elements(tile.type);
  for (unsigned row = 0; row < rows; row++) {
    for (unsigned chunk = 0; chunk < chunks; chunk++) {
      const uint32_t address = chunk_address(descriptor, tile.mn_major, first_row + row, first_chunk + chunk);
      const uint8_t* source = resolve_shared(address, kChunkBytes, "wgmma operand", CallSite::current());
      sanitizer::read(source, kChunkBytes, tile.pc);
      uint8_t bytes[kChunkBytes];
      copy_bytes(bytes, source, kChunkBytes);
      for (unsigned e = 0; e < elements; e++) store(row, chunk * elements + e, element(bytes, e, tile.type));
    }
  }
}

}  // namespace

const char* check_descriptor(uint64_t descriptor) {
  if ((descriptor >> 49) & 7) return "wgmma: the emulator models descriptors with base offset 0 only";
  return nullptr;
}

void load_wgmma_a(const WgmmaTile& tile, unsigned first_row, float* a) {
  if (tile.mn_major) {
    load_chunks(tile, 0, 16, first_row / chunk_elements(tile.type), 2,
                [&](unsigned k, unsigned m, float value) { a[m * 16 + k] = value; });
  } else {
    const unsigned depth = wgmma_depth(tile.type);
    load_chunks(tile, first_row, 16, 0, 2,
                [&](unsigned m, unsigned k, float value) { a[m * depth + k] = value; });
  }
}

void load_wgmma_b(const WgmmaTile& tile, unsigned n, float* b) {
  if (tile.mn_major) {
    load_chunks(tile, 0, 16, 0, n / chunk_elements(tile.type),
                [&](unsigned k, unsigned column, float value) { b[k * n + column] = value; });
  } else {
    load_chunks(tile, 0, n, 0, 2,
                [&](unsigned column, unsigned k, float value) { b[k * n + column] = value; });
  }
}

}  // namespace padless::cuda::emulator
