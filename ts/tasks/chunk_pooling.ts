import { sliced } from '../batching/slices';
import { PadlessError } from '../errors';
import type { TokenBatch } from '../batching/batches';
import { checkOptions, integer, oneOf, type Check } from '../options';
import { Embeddings } from './embeddings';
import { RowCollector, type RowBlock } from './row_collector';

/** How the option `chunks` splits a text beyond the model's limit, and puts it together again. */
export interface ChunkOptions {
  /** Tokens at the end of a chunk that the next one repeats; 0 by default. */
  stride?: number;
  /**
   * `'mean'`: the mean of the chunks' vectors or logits, weighted by their numbers of tokens, special ones included;
   * `'max'`: the largest of each column. The mean by default; a Reranker's default is the best chunk.
   */
  pooling?: 'mean' | 'max';
}

/** {@link ChunkOptions} with every field. */
export type Chunking = Required<ChunkOptions>;

/** The words of the option `pooling`. */
export const CHUNK_POOLING = ['mean', 'max'] as const;

const fields = { stride: integer(0), pooling: oneOf(CHUNK_POOLING) };

function given(value: unknown, fail: (expected: string) => never, keys: string): unknown {
  if (typeof value !== 'boolean' && (typeof value !== 'object' || value === null)) {
    fail(`true, false, or an object of ${keys}`);
  }
  return value === true ? {} : value;
}

/** `true` for the defaults, `false` for none, or {@link ChunkOptions}. */
export function chunksOption(byDefault: Chunking['pooling']): Check<Chunking | false> {
  return (value, fail) => {
    const options = given(value, fail, 'stride and pooling');
    if (options === false) return false;
    const { stride = 0, pooling = byDefault } = checkOptions('chunks', options, fields);
    return { stride, pooling };
  };
}

/** The same where nothing is to be pooled, or in one way only. */
export const strideOption: Check<Pick<Chunking, 'stride'> | false> = (value, fail) => {
  const options = given(value, fail, 'stride');
  return options !== false && { stride: 0, ...checkOptions('chunks', options, { stride: fields.stride }) };
};

/**
 * How the tokenizer treats texts beyond the limit: in chunks, or as `truncate` says, of which the caller gives one.
 *
 * @throws PadlessError E_INVALID_ARGUMENT for both.
 */
export function beyondTheLimit(
  { chunks, truncate }: { chunks?: Pick<Chunking, 'stride'> | false; truncate?: boolean },
  truncateByDefault: boolean,
): { stride: number } | { truncate: boolean } {
  if (!chunks) return { truncate: truncate ?? truncateByDefault };
  if (truncate === undefined) return { stride: chunks.stride };
  throw new PadlessError('E_INVALID_ARGUMENT', 'Give either chunks or truncate, not both.', {
    field: 'chunks',
  });
}

/** Vectors of the chunks of one batch. */
export interface ChunkRows extends RowBlock {
  /** [count]: index of the text that each row is of; never falling, also from batch to batch. */
  texts: Int32Array;
  /** [count]: tokens of each chunk. */
  tokens: readonly number[];
}

/** The rows of a batch, one a sequence, with what the pooling of chunks needs to know of them. */
export function chunkRows({ cuSeqlens, texts }: TokenBatch, data: Float32Array): ChunkRows {
  const count = cuSeqlens.length - 1;
  const tokens = Array.from({ length: count }, (_, i) => cuSeqlens[i + 1]! - cuSeqlens[i]!);
  return { data, count, texts: texts ?? new Int32Array(0), tokens };
}

/** Gathers one row a text: those of its chunks pooled, where there are chunks. */
export function collectRows(
  rows: number,
  chunks: Chunking | false | undefined,
  normalize = false,
): ChunkPooler | RowCollector {
  return chunks ? new ChunkPooler(rows, chunks.pooling, normalize) : new RowCollector(rows);
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
