import type { TokenBatch } from '../batching/batches';
import type { SparseRows } from '../run';

/**
 * The weight of each token id of a sequence: the largest of those of its tokens, without zeros. The special tokens
 * that the tokenizer adds do not count, nor does any id of `ignored`, wherever it stands.
 *
 * @param weights [T], from relu.
 */
export function termWeights(
  { ids, cuSeqlens, details }: TokenBatch,
  weights: Float32Array,
  ignored: ReadonlySet<number>,
  topK: number,
): SparseRows {
  const offsets = new Int32Array(cuSeqlens.length);
  const indices: number[] = [];
  const values: number[] = [];
  for (let b = 0; b + 1 < cuSeqlens.length; b++) {
    const best = new Map<number, number>();
    for (let t = cuSeqlens[b]!; t < cuSeqlens[b + 1]!; t++) {
      const [id, weight] = [ids[t]!, weights[t]!];
      if (details!.segments[t]! < 0 || ignored.has(id) || weight <= 0) continue;
      const known = best.get(id);
      if (known === undefined || !(known >= weight)) best.set(id, weight);
    }
    for (const [id, weight] of largest([...best], topK)) {
      indices.push(id);
      values.push(weight);
    }
    offsets[b + 1] = indices.length;
  }
  return { offsets, indices: Int32Array.from(indices), values: Float32Array.from(values) };
}

/** The `topK` largest entries (all for 0), by rising id; of equal ones the lower id counts as larger. */
export function largest(
  entries: [id: number, weight: number][],
  topK: number,
): [id: number, weight: number][] {
  if (topK > 0 && entries.length > topK) {
    entries.sort(([a, x], [b, y]) => y - x || a - b);
    entries.length = topK;
  }
  return entries.sort(([a], [b]) => a - b);
}
