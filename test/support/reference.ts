// The ops in float64, written for reading: what the suites of test/device compare with.
import { PackedBatch } from '../../ts/packed';

export type Numbers = ArrayLike<number>;

/** The sequences of a batch as [first, end) rows. */
export function ranges({ cuSeqlens }: PackedBatch): [number, number][] {
  return Array.from({ length: cuSeqlens.length - 1 }, (_, b) => [cuSeqlens[b]!, cuSeqlens[b + 1]!]);
}

/** Abramowitz and Stegun 7.1.5 for small x, the continued fraction 7.1.14 for large: about 1e-14. */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  if (size < 3) {
    let term = size;
    let sum = size;
    for (let n = 1; n < 200 && Math.abs(term) > 1e-18; n++) {
      term *= -(size * size) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 100; n > 0; n--) fraction = n / 2 / (size + fraction);
  return Math.sign(x) * (1 - Math.exp(-size * size) / Math.sqrt(Math.PI) / (size + fraction));
}

export const activations: Record<string, (x: number) => number> = {
  none: (x) => x,
  gelu: (x) => (x * (1 + erf(x / Math.SQRT2))) / 2,
  gelu_tanh: (x) => (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))) / 2,
  relu: (x) => Math.max(x, 0),
  silu: (x) => x / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
};

/** activation(x W^T + bias) + residual; W is [out, in]. */
export function linear(
  x: Numbers,
  weight: Numbers,
  [rows, inputs, outputs]: [number, number, number],
  { bias, activation = 'none', residual }: { bias?: Numbers; activation?: string; residual?: Numbers } = {},
): Float64Array {
  const y = new Float64Array(rows * outputs);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < outputs; o++) {
      let sum = bias?.[o] ?? 0;
      for (let i = 0; i < inputs; i++) sum += x[r * inputs + i]! * weight[o * inputs + i]!;
      y[r * outputs + o] = activations[activation]!(sum) + (residual?.[r * outputs + o] ?? 0);
    }
  }
  return y;
}

/** Calls `row` with each row of x + residual, and joins what it returns. */
function eachRow(
  x: Numbers,
  cols: number,
  row: (values: number[]) => number[],
  residual?: Numbers,
): Float64Array {
  const y = new Float64Array(x.length);
  for (let first = 0; first < x.length; first += cols) {
    y.set(row(Array.from({ length: cols }, (_, i) => x[first + i]! + (residual?.[first + i] ?? 0))), first);
  }
  return y;
}

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

export function layerNorm(
  x: Numbers,
  gamma: Numbers,
  beta: Numbers | undefined,
  eps: number,
  residual?: Numbers,
): Float64Array {
  return eachRow(
    x,
    gamma.length,
    (row) => {
      const center = mean(row);
      const deviation = Math.sqrt(mean(row.map((value) => (value - center) ** 2)) + eps);
      return row.map((value, i) => ((value - center) / deviation) * gamma[i]! + (beta?.[i] ?? 0));
    },
    residual,
  );
}

export function rmsNorm(x: Numbers, gamma: Numbers, eps: number, residual?: Numbers): Float64Array {
  return eachRow(
    x,
    gamma.length,
    (row) => {
      const size = Math.sqrt(mean(row.map((value) => value * value)) + eps);
      return row.map((value, i) => (value / size) * gamma[i]!);
    },
    residual,
  );
}

export function l2Normalize(x: Numbers, cols: number): Float64Array {
  return eachRow(x, cols, (row) => row.map((value) => value / Math.max(Math.hypot(...row), 1e-12)));
}

export interface AttentionShape {
  heads: number;
  kvHeads: number;
  headDim: number;
  scale?: number;
  sees?: (query: number, key: number) => boolean;
}

/** Softmax attention of one sequence at a time, over [T, heads * headDim]; out, and lse [heads, T]. */
export function attention(q: Numbers, k: Numbers, v: Numbers, batch: PackedBatch, shape: AttentionShape) {
  const { heads, kvHeads, headDim, scale = 1 / Math.sqrt(headDim), sees = () => true } = shape;
  const out = new Float64Array(batch.tokens * heads * headDim);
  const lse = new Float64Array(heads * batch.tokens).fill(-Infinity);
  for (const [first, end] of ranges(batch)) {
    for (let head = 0; head < heads; head++) {
      const column = Math.floor((head * kvHeads) / heads) * headDim;
      for (let i = first; i < end; i++) {
        const keys = Array.from({ length: end - first }, (_, j) => first + j).filter((j) =>
          sees(i - first, j - first),
        );
        if (keys.length === 0) continue;
        const query = (i * heads + head) * headDim;
        const scores = keys.map((j) => {
          let dot = 0;
          for (let d = 0; d < headDim; d++) dot += q[query + d]! * k[j * kvHeads * headDim + column + d]!;
          return dot * scale;
        });
        const largest = scores.reduce((a, b) => Math.max(a, b));
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((a, b) => a + b);
        lse[head * batch.tokens + i] = largest + Math.log(total);
        for (let d = 0; d < headDim; d++) {
          let sum = 0;
          keys.forEach((j, n) => (sum += weights[n]! * v[j * kvHeads * headDim + column + d]!));
          out[query + d] = sum / total;
        }
      }
    }
  }
  return { out, lse };
}

export type PoolMode = 'cls' | 'mean' | 'max' | 'lasttoken' | 'weightedmean' | 'mean_sqrt_len';

/** One row a sequence; `skip` leading tokens do not count, but keep their weights' places. */
export function pool(
  x: Numbers,
  cols: number,
  batch: PackedBatch,
  mode: PoolMode,
  skip: Numbers = [],
): Float64Array {
  const y = new Float64Array(batch.sequences * cols);
  ranges(batch).forEach(([begin, end], b) => {
    const rows = Array.from({ length: end - begin }, (_, t) => t).slice(skip[b] ?? 0);
    if (rows.length === 0) return;
    for (let c = 0; c < cols; c++) {
      const at = (t: number) => x[(begin + t) * cols + c]!;
      const sum = (weight: (t: number) => number) => rows.reduce((total, t) => total + weight(t) * at(t), 0);
      const count = rows.length;
      y[b * cols + c] = {
        cls: () => at(rows[0]!),
        mean: () => sum(() => 1) / count,
        max: () => rows.reduce((largest, t) => Math.max(largest, at(t)), -Infinity),
        lasttoken: () => at(rows[count - 1]!),
        weightedmean: () => sum((t) => t + 1) / rows.reduce((total, t) => total + t + 1, 0),
        mean_sqrt_len: () => sum(() => 1) / Math.sqrt(count),
      }[mode]();
    }
  });
  return y;
}

/** ||actual - expected|| / ||expected||; both zero: 0. Infinity if the lengths differ or anything is NaN. */
export function relativeError(actual: Numbers, expected: Numbers): number {
  if (actual.length !== expected.length) return Infinity;
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] === expected[i]) {
      if (Number.isFinite(expected[i]!)) norm += expected[i]! ** 2;
      continue;
    }
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  const error = difference === 0 ? 0 : Math.sqrt(difference / norm);
  return Number.isNaN(error) ? Infinity : error;
}
