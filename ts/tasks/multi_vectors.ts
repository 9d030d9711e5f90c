import type { TokenBatch } from '../batching/batches';
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

/** The tokens of a batch whose vectors are kept, and how many each of its sequences has. */
export interface KeptTokens {
  rows: Int32Array;
  counts: readonly number[];
}

/**
 * The tokens that `wanted` says, less those that a chunk repeats of the one before, `stride` of them: their vectors
 * are those of the earlier chunk.
 */
export function keepTokens(
  { cuSeqlens, repeatsAt }: TokenBatch,
  stride: number,
  wanted: (token: number, begin: number) => boolean,
): KeptTokens {
  const rows: number[] = [];
  const counts = Array.from(cuSeqlens.subarray(1), (end, b) => {
    const begin = cuSeqlens[b]!;
    const repeats = repeatsAt?.[b] ?? -1;
    const from = repeats < 0 ? end : begin + repeats;
    const before = rows.length;
    for (let t = begin; t < end; t++) {
      if ((t < from || t >= from + stride) && wanted(t, begin)) rows.push(t);
    }
    return rows.length - before;
  });
  return { rows: Int32Array.from(rows), counts };
}

/** Vectors of one batch, and how many each of its sequences has. */
export interface VectorBlock {
  data: Float32Array;
  counts: readonly number[];
  /** Where sequences are chunks: index of the text that each is of; never falling, also from batch to batch. */
  texts: Int32Array | undefined;
}

/** Gathers the vectors of consecutive batches, those of a text's chunks after one another. */
export class VectorCollector {
  readonly #dimensions: number;
  readonly #blocks: Float32Array[] = [];
  readonly #offsets = [0];
  #text = -1;

  constructor(dimensions: number) {
    this.#dimensions = dimensions;
  }

  append({ data, counts, texts }: VectorBlock): void {
    this.#blocks.push(data);
    counts.forEach((count, i) => {
      const end = this.#offsets.at(-1)! + count;
      const text = texts ? texts[i]! : this.#text + 1;
      if (text === this.#text) this.#offsets[this.#offsets.length - 1] = end;
      else this.#offsets.push(end);
      this.#text = text;
    });
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
