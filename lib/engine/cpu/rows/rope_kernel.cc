// See rope_kernel.h.
#include "lib/engine/cpu/rows/rope_kernel.h"

#include "lib/engine/cpu/simd/vec.h"

namespace padless::PADLESS_ISA {
namespace {

using simd::Vec;

inline Vec load_lanes(const float* p, int64_t left) {
  return left >= Vec::kLanes ? simd::load(p) : simd::load(p, static_cast<int>(left));
}

inline void store_lanes(float* p, Vec value, int64_t left) {
  left >= Vec::kLanes ? simd::store(p, value) : simd::store(p, value, static_cast<int>(left));
}

/** Columns i and i + pairs of a head. */
void rotate_halves(float* head, const float* cosine, const float* sine, int64_t pairs) {
  for (int64_t i = 0; i < pairs; i += Vec::kLanes) {
    const int64_t left = pairs - i;
    const Vec c = load_lanes(cosine + i, left);
    const Vec s = load_lanes(sine + i, left);
    const Vec x = load_lanes(head + i, left);
    const Vec y = load_lanes(head + pairs + i, left);
    store_lanes(head + i, simd::fnma(y, s, x * c), left);
    store_lanes(head + pairs + i, simd::fma(x, s, y * c), left);
  }
}

/** Columns 2i and 2i + 1 of a head. */
void rotate_neighbours(float* head, const float* cosine, const float* sine, int64_t pairs) {
  for (int64_t i = 0; i < pairs; ++i) {
    const float x = head[2 * i];
    const float y = head[2 * i + 1];
    head[2 * i] = x * cosine[i] - y * sine[i];
    head[2 * i + 1] = y * cosine[i] + x * sine[i];
  }
}

void rotate(const RopeTask& task) {
  const int64_t pairs = task.rotary_dim / 2;
  const auto turn = task.interleaved ? rotate_neighbours : rotate_halves;
  for (int64_t row = 0; row < task.rows; ++row) {
    const float* cosine = task.table + row * task.table_stride;
    float* data = task.data + row * task.stride;
    for (int64_t head = 0; head < task.heads; ++head) {
      turn(data + head * task.head_dim, cosine, cosine + pairs, pairs);
    }
  }
}

}  // namespace

extern const RopeKernel rope_kernel;
const RopeKernel rope_kernel = rotate;

}  // namespace padless::PADLESS_ISA
