// What the eight-bit codes of a row follow from.
#pragma once

namespace padless {

struct RowExtent {
  float low = 0;         // the least element or 0, whichever is less
  float high = 0;        // the largest or 0
  float not_finite = 0;  // NaN for a row with a NaN or an infinity
};

}  // namespace padless
