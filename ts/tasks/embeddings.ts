/** Vectors of equal size in one contiguous array. Iterating it yields the rows. */
export class Embeddings implements Iterable<Float32Array> {
  /** [length * dimensions], row-major. */
  readonly data: Float32Array;
  /** Number of vectors. */
  readonly length: number;
  /** Size of a vector. */
  readonly dimensions: number;

  constructor(data: Float32Array, length: number, dimensions: number) {
    this.data = data;
    this.length = length;
    this.dimensions = dimensions;
  }

  /**
   * Vector `index`, of `dimensions` numbers: a view into `data`, not a copy.
   *
   * @throws RangeError for an index that is no row.
   */
  row(index: number): Float32Array {
    if (!Number.isInteger(index) || index < 0 || index >= this.length) {
      throw new RangeError(`Row ${index} of ${this.length}.`);
    }
    return this.data.subarray(index * this.dimensions, (index + 1) * this.dimensions);
  }

  *[Symbol.iterator](): Generator<Float32Array> {
    for (let i = 0; i < this.length; i++) yield this.row(i);
  }

  /** A copy as plain numbers, for JSON and for libraries that want `number[][]`. */
  toArray(): number[][] {
    return Array.from(this, (row) => Array.from(row));
  }
}
