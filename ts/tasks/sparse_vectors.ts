import { PadlessError } from '../errors';
import type { SparseRows } from '../run';

/** One sparse vector: what is not listed is 0. */
export interface SparseVector {
  /** Columns, rising: ids of tokens. */
  indices: Int32Array;
  /** [indices.length] */
  values: Float32Array;
}

/** Sparse vectors over the vocabulary, one a text. Iterating it yields them. */
export class SparseVectors implements Iterable<SparseVector> {
  /** Where each vector begins in `indices` and `values`, [length + 1]. */
  readonly offsets: Int32Array;
  readonly indices: Int32Array;
  readonly values: Float32Array;
  /** Columns of a vector: ids of the vocabulary. */
  readonly dimensions: number;

  constructor({ offsets, indices, values }: SparseRows, dimensions: number) {
    this.offsets = offsets;
    this.indices = indices;
    this.values = values;
    this.dimensions = dimensions;
  }

  /** Number of vectors. */
  get length(): number {
    return this.offsets.length - 1;
  }

  /**
   * Vector `index`: views, not copies.
   *
   * @throws RangeError for an index that is no vector.
   */
  row(index: number): SparseVector {
    if (!Number.isInteger(index) || index < 0 || index >= this.length) {
      throw new RangeError(`Row ${index} of ${this.length}.`);
    }
    const [begin, end] = [this.offsets[index]!, this.offsets[index + 1]!];
    return { indices: this.indices.subarray(begin, end), values: this.values.subarray(begin, end) };
  }

  *[Symbol.iterator](): Generator<SparseVector> {
    for (let i = 0; i < this.length; i++) yield this.row(i);
  }
}

/** Dot product of two sparse vectors: how relevant a document is to a query. */
export function sparseDot(a: SparseVector, b: SparseVector): number {
  let sum = 0;
  for (let i = 0, j = 0; i < a.indices.length && j < b.indices.length;) {
    const difference = a.indices[i]! - b.indices[j]!;
    if (difference === 0) sum += a.values[i]! * b.values[j]!;
    if (difference <= 0) i++;
    if (difference >= 0) j++;
  }
  return sum;
}

/** Gathers the rows of consecutive batches. */
export class SparseCollector {
  readonly #parts: SparseRows[] = [];
  #rows = 0;
  #entries = 0;

  append(part: SparseRows): void {
    this.#parts.push(part);
    this.#rows += part.offsets.length - 1;
    this.#entries += part.indices.length;
    if (this.#entries > 2 ** 31 - 1) {
      throw new PadlessError(
        'E_OUT_OF_MEMORY',
        'The sparse vectors of one call have more than 2^31 entries; encode fewer texts at once, or set topK.',
        { field: 'texts' },
      );
    }
  }

  vectors(dimensions: number): SparseVectors {
    const offsets = new Int32Array(this.#rows + 1);
    const indices = new Int32Array(this.#entries);
    const values = new Float32Array(this.#entries);
    let [row, entry] = [0, 0];
    for (const part of this.#parts) {
      for (let i = 1; i < part.offsets.length; i++) offsets[++row] = entry + part.offsets[i]!;
      indices.set(part.indices, entry);
      values.set(part.values, entry);
      entry += part.indices.length;
    }
    return new SparseVectors({ offsets, indices, values }, dimensions);
  }
}
