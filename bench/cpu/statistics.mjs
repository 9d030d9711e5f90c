/** The middle value; the mean of the two middle ones of an even count. NaN of nothing. */
export function median(values) {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** `values` divided by their Euclidean length. */
export function normalized(values) {
  const length = Math.hypot(...values);
  return values.map((value) => value / length);
}

/** How far `rows` are from `reference`: the least cosine of a row, and the largest relative L2 error of one. */
export function agreement(rows, reference) {
  let cosine = 1;
  let relativeError = 0;
  rows.forEach((row, i) => {
    const wanted = reference[i];
    const [a, b] = [normalized(row), normalized(wanted)];
    cosine = Math.min(
      cosine,
      a.reduce((sum, value, k) => sum + value * b[k], 0),
    );
    const difference = Math.hypot(...row.map((value, k) => value - wanted[k]));
    relativeError = Math.max(relativeError, difference / Math.hypot(...wanted));
  });
  return { cosine, relativeError };
}
