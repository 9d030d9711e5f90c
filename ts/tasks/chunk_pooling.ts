import { sliced } from '../batching/slices';
import { PadlessError } from '../errors';
import { checkOptions, integer, oneOf, type Check } from '../options';
import { Embeddings } from './embeddings';
import type { RowBlock } from './row_collector';

/** How the option `chunks` splits a text beyond the model's limit, and puts it together again. */
export interface ChunkOptions {
  /** Tokens at the end of a chunk that the next one repeats; 0 by default. */
  stride?: number;
  /**
   * `'mean'` (the default): the mean of the chunks' vectors, weighted by their numbers of tokens, special ones included; `'max'`: the
   * largest of each column.
   */
  pooling?: 'mean' | 'max';
}

/** {@link ChunkOptions} with every field. */
export type Chunking = Required<ChunkOptions>;

const fields = { stride: integer(0), pooling: oneOf(['mean', 'max']) };

/** `true` for the defaults, `false` for none, or {@link ChunkOptions}. */
export const chunksOption: Check<Chunking | false> = (value, fail) => {
  if (value === false) return false;
  if (value !== true && (typeof value !== 'object' || value === null)) {
    fail('true, false, or an object of stride and pooling');
  }
  const { stride = 0, pooling = 'mean' } = value === true ? {} : checkOptions('chunks', value, fields);
  return { stride, pooling };
};

/** Vectors of the chunks of one batch. */
export interface ChunkRows extends RowBlock {
  /** [count]: index of the text that each row is of; never falling, also from batch to batch. */
  texts: Int32Array;
  /** [count]: tokens of each chunk. */
  tokens: readonly number[];
}

/**
 * Puts the vectors of consecutive chunks together, one row a text. A text of one chunk keeps its vector bit by
 * bit; sums are float64.
 */
export class ChunkPooler {
  readonly #rows: number;
  readonly #pooling: Chunking['pooling'];
  readonly #normalize: boolean;
  #data: Float32Array = new Float32Array(0);
  #pooled: Float64Array = new Float64Array(0);
  #dimensions = 0;
  /** The text whose chunks are being pooled, its chunks and their tokens so far. */
  #text = -1;
  #chunks = 0;
  #tokens = 0;

  /** `normalize`: pooled vectors get length 1 again, where those of the chunks have it. */
  constructor(rows: number, pooling: Chunking['pooling'], normalize: boolean) {
    this.#rows = rows;
    this.#pooling = pooling;
    this.#normalize = normalize;
  }

  append(rows: ChunkRows): Promise<void> {
    return sliced(this.#steps(rows));
  }

  *#steps({ data, count, texts, tokens }: ChunkRows): Generator<void, void> {
    if (this.#text < 0) {
      this.#dimensions = data.length / count;
      this.#data = new Float32Array(this.#rows * this.#dimensions);
      this.#pooled = new Float64Array(this.#dimensions);
    }
    for (let i = 0; i < count; i++) {
      const row = data.subarray(i * this.#dimensions, (i + 1) * this.#dimensions);
      if (texts[i] !== this.#text) this.#begin(texts[i]!, row);
      this.#add(row, tokens[i]!);
      yield;
    }
  }

  embeddings(): Embeddings {
    if (this.#text !== this.#rows - 1) {
      throw new PadlessError('E_INTERNAL', `Chunks of ${this.#text + 1} of ${this.#rows} texts came back.`);
    }
    this.#finish();
    return new Embeddings(this.#data, this.#rows, this.#dimensions);
  }

  #begin(text: number, row: Float32Array): void {
    this.#finish();
    this.#text = text;
    this.#chunks = 0;
    this.#tokens = 0;
    this.#pooled.fill(this.#pooling === 'max' ? -Infinity : 0);
    this.#data.set(row, text * this.#dimensions);
  }

  #add(row: Float32Array, tokens: number): void {
    this.#chunks++;
    this.#tokens += tokens;
    const pooled = this.#pooled;
    if (this.#pooling === 'max')
      for (let i = 0; i < row.length; i++) pooled[i] = Math.max(pooled[i]!, row[i]!);
    else for (let i = 0; i < row.length; i++) pooled[i]! += tokens * row[i]!;
  }

  /** Writes the row of the text at hand, unless its only chunk is there already. */
  #finish(): void {
    if (this.#chunks < 2) return;
    let factor = this.#pooling === 'mean' ? 1 / this.#tokens : 1;
    if (this.#normalize) {
      let squares = 0;
      for (const value of this.#pooled) squares += value * value;
      factor = squares > 0 ? 1 / Math.sqrt(squares) : 0;
    }
    const offset = this.#text * this.#dimensions;
    for (let i = 0; i < this.#dimensions; i++) this.#data[offset + i] = factor * this.#pooled[i]!;
  }
}
