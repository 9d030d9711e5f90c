import { copySliced } from '../batching/slices';
import { PadlessError } from '../errors';
import { Embeddings } from './embeddings';
import type { PackedVectors } from './max_sim';

/** A list of vectors for each text: one a token. Iterating it yields them. */
export class MultiVectors implements PackedVectors, Iterable<Embeddings> {
  /** All vectors back to back, [offsets[length] * dimensions], row-major. */
  readonly data: Float32Array;
  /** Numbers of a vector. */
  readonly dimensions: number;
  /** Where each text's vectors begin, [length + 1], counted in vectors. */
  readonly offsets: Int32Array;

  constructor(data: Float32Array, dimensions: number, offsets: Int32Array) {
    this.data = data;
    this.dimensions = dimensions;
    this.offsets = offsets;
  }

  /** Number of texts. */
  get length(): number {
    return this.offsets.length - 1;
  }

  /**
   * The vectors of text `index`: views, not copies.
   *
   * @throws RangeError for an index that is no text.
   */
  row(index: number): Embeddings {
    if (!Number.isInteger(index) || index < 0 || index >= this.length) {
      throw new RangeError(`Row ${index} of ${this.length}.`);
    }
    const [begin, end] = [this.offsets[index]!, this.offsets[index + 1]!];
    const data = this.data.subarray(begin * this.dimensions, end * this.dimensions);
    return new Embeddings(data, end - begin, this.dimensions);
  }

  *[Symbol.iterator](): Generator<Embeddings> {
    for (let i = 0; i < this.length; i++) yield this.row(i);
  }
}

/** Vectors of one batch, and how many each of its texts has. */
export interface VectorBlock {
  data: Float32Array;
  counts: readonly number[];
}

/** Gathers the vectors of consecutive batches. */
export class VectorCollector {
  readonly #dimensions: number;
  readonly #blocks: Float32Array[] = [];
  readonly #offsets = [0];

  constructor(dimensions: number) {
    this.#dimensions = dimensions;
  }

  append({ data, counts }: VectorBlock): void {
    this.#blocks.push(data);
    for (const count of counts) this.#offsets.push(this.#offsets.at(-1)! + count);
  }

  async vectors(): Promise<MultiVectors> {
    const total = this.#offsets.at(-1)!;
    if (total > 2 ** 31 - 1) {
      throw new PadlessError(
        'E_OUT_OF_MEMORY',
        'The texts of one call have more than 2^31 vectors; encode fewer at once.',
        { field: 'texts' },
      );
    }
    const data = new Float32Array(total * this.#dimensions);
    let end = 0;
    for (const block of this.#blocks) {
      await copySliced(data, block, end);
      end += block.length;
    }
    return new MultiVectors(data, this.#dimensions, Int32Array.from(this.#offsets));
  }
}
