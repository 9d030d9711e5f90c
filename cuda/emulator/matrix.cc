// mma.sync, ldmatrix and stmatrix: fragment layouts as the PTX manual draws them (lane = 4 * row + column
// pair).
#include "cuda/emulator/half_types.h"
#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/state.h"

namespace padless::cuda::emulator {
namespace {

constexpr unsigned kRowBytes = 16;  // of an 8x8 matrix of 16-bit elements

template <float (*kToFloat)(uint16_t)>
void multiply_m16n8k16(const uint8_t* inputs, uint8_t* outputs, void*) {
  float a[16][16], b[16][8], d[16][8] = {};
  for (unsigned lane = 0; lane < kWarpSize; lane++) {
    const auto* r = reinterpret_cast<const uint32_t*>(inputs + lane * kLaneSlotBytes);
    const unsigned group = lane / 4;
    for (unsigned half = 0; half < 2; half++) {
      const unsigned pair = lane % 4 * 2 + half;
      const auto element = [&](unsigned i) { return kToFloat(static_cast<uint16_t>(r[i] >> (16 * half))); };
      a[group][pair] = element(0);
      a[group + 8][pair] = element(1);
      a[group][pair + 8] = element(2);
      a[group + 8][pair + 8] = element(3);
      b[pair][group] = element(4);
      b[pair + 8][group] = element(5);
    }
  }
  for (unsigned i = 0; i < 16; i++) {
    for (unsigned k = 0; k < 16; k++) {
      for (unsigned j = 0; j < 8; j++) d[i][j] += a[i][k] * b[k][j];
    }
  }
  for (unsigned lane = 0; lane < kWarpSize; lane++) {
    auto* out = reinterpret_cast<float*>(outputs + lane * kLaneSlotBytes);
    const unsigned group = lane / 4, pair = lane % 4 * 2;
    out[0] = d[group][pair];
    out[1] = d[group][pair + 1];
    out[2] = d[group + 8][pair];
    out[3] = d[group + 8][pair + 1];
  }
}

void check_row(uint32_t address, const char* what, CallSite where) {
  if (address % kRowBytes != 0) fail(std::string(what) + ": row address is not 16-byte aligned", where);
}

}  // namespace

void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4],
                  Element type, CallSite where) {
  const uint32_t inputs[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  const Combine combine =
      type == Element::bf16 ? multiply_m16n8k16<bf16_bits_to_float> : multiply_m16n8k16<fp16_bits_to_float>;
  const uint8_t* table = meet(~0u, {"mma.m16n8k16", true, combine}, inputs, sizeof(inputs), where);
  const auto* product = reinterpret_cast<const float*>(table + this_thread->lane * kLaneSlotBytes);
  for (int i = 0; i < 4; i++) d[i] = product[i] + c[i];
}

void ldmatrix(uint32_t* registers, unsigned matrices, bool transpose, uint32_t address, CallSite where) {
  const unsigned lane = this_thread->lane;
  uint32_t row[4] = {};
  if (lane < matrices * 8) {
    check_row(address, "ldmatrix", where);
    const uint8_t* source = resolve_shared(address, kRowBytes, "ldmatrix", where);
    sanitizer::read(source, kRowBytes, PADLESS_CALLER_PC);
    copy_bytes(row, source, kRowBytes);
  }
  const char* name = transpose ? "ldmatrix.trans" : "ldmatrix";
  const uint8_t* table = meet(~0u, {name, true}, row, sizeof(row), where);
  const auto element = [&](unsigned r, unsigned column) -> uint32_t {
    return reinterpret_cast<const uint16_t*>(table + r * kLaneSlotBytes)[column];
  };
  for (unsigned m = 0; m < matrices; m++) {
    const unsigned major = lane / 4, minor = lane % 4 * 2, first = m * 8;
    registers[m] = transpose ? element(first + minor, major) | element(first + minor + 1, major) << 16
                             : element(first + major, minor) | element(first + major, minor + 1) << 16;
  }
}

void stmatrix(const uint32_t* registers, unsigned matrices, bool transpose, uint32_t address,
              CallSite where) {
  uint32_t inputs[4] = {};
  for (unsigned m = 0; m < matrices; m++) inputs[m] = registers[m];
  const char* name = transpose ? "stmatrix.trans" : "stmatrix";
  const uint8_t* table = meet(~0u, {name, true}, inputs, sizeof(inputs), where);
  const unsigned lane = this_thread->lane, matrix = lane / 8, row = lane % 8;
  if (lane >= matrices * 8) return;
  check_row(address, "stmatrix", where);
  uint16_t elements[8];
  for (unsigned column = 0; column < 8; column++) {
    const unsigned major = transpose ? column : row, minor = transpose ? row : column;
    const auto* source = reinterpret_cast<const uint32_t*>(table + (major * 4 + minor / 2) * kLaneSlotBytes);
    elements[column] = static_cast<uint16_t>(source[matrix] >> (16 * (minor % 2)));
  }
  uint8_t* destination = resolve_shared(address, kRowBytes, "stmatrix", where);
  sanitizer::write(destination, kRowBytes, PADLESS_CALLER_PC);
  copy_bytes(destination, elements, kRowBytes);
}

}  // namespace padless::cuda::emulator
