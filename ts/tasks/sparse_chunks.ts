import type { SparseRows } from '../run';
import { SparseCollector, type SparseVector, type SparseVectors } from './sparse_vectors';
import { largest } from './term_weights';

/** Of each column the larger value. */
function merged(a: SparseVector, b: SparseVector): SparseVector {
  const indices = new Int32Array(a.indices.length + b.indices.length);
  const values = new Float32Array(indices.length);
  let size = 0;
  for (let i = 0, j = 0; i < a.indices.length || j < b.indices.length; size++) {
    const [left, right] = [a.indices[i] ?? Infinity, b.indices[j] ?? Infinity];
    indices[size] = Math.min(left, right);
    if (left === right) values[size] = Math.max(a.values[i++]!, b.values[j++]!);
    else values[size] = left < right ? a.values[i++]! : b.values[j++]!;
  }
  return { indices: indices.subarray(0, size), values: values.subarray(0, size) };
}

/** Gathers one vector a text: those of its chunks put together, where there are chunks. */
export function collectSparse(
  chunks: object | false | undefined,
  topK: number,
): SparseChunks | SparseCollector {
  return chunks ? new SparseChunks(topK) : new SparseCollector();
}

/** Puts the vectors of consecutive chunks together, one a text, and keeps the `topK` largest weights (all for 0). */
export class SparseChunks {
  readonly #collector = new SparseCollector();
  #text = -1;
  #vector: SparseVector | undefined;

  constructor(private readonly topK: number) {}

  /** `texts` [rows]: index of the text that each row is of; never falling, also from batch to batch. */
  append({ offsets, indices, values }: SparseRows, texts: Int32Array | undefined): void {
    for (const [i, text] of texts!.entries()) {
      const [begin, end] = [offsets[i]!, offsets[i + 1]!];
      const row = { indices: indices.subarray(begin, end), values: values.subarray(begin, end) };
      if (text !== this.#text) this.#flush();
      this.#text = text;
      this.#vector = this.#vector ? merged(this.#vector, row) : row;
    }
  }

  vectors(dimensions: number): SparseVectors {
    this.#flush();
    return this.#collector.vectors(dimensions);
  }

  #flush(): void {
    if (!this.#vector) return;
    const { indices, values } = this.#vector;
    const entries = Array.from(indices, (index, i): [number, number] => [index, values[i]!]);
    const kept = largest(entries, this.topK);
    this.#collector.append({
      offsets: Int32Array.of(0, kept.length),
      indices: Int32Array.from(kept, ([index]) => index),
      values: Float32Array.from(kept, ([, value]) => value),
    });
    this.#vector = undefined;
  }
}
