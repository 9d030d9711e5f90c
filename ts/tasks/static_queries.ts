import { tokenizeChunks } from '../batching/chunks';
import { nextTurn } from '../batching/slices';
import { PadlessError } from '../errors';
import type { StaticQueries as StaticDescription } from '../models/sparse';
import type { SparseRows } from '../run';
import { Tokenizer, type EncodeOptions } from '../tokenizer/tokenizer';
import { largest } from './term_weights';

/** What becomes of each piece of the texts: its rows, and the texts that they are of where there are chunks. */
type Append = (rows: SparseRows, texts: Int32Array | undefined) => void;

/** Sparse vectors without a model: each token of a text has the weight that a table gives it, once. */
export class StaticQueries {
  readonly #tokenizer: Tokenizer;
  readonly #weights: Float32Array;
  readonly #byDefault: StaticDescription['byDefault'];

  private constructor(tokenizer: Tokenizer, { weights, byDefault }: StaticDescription) {
    this.#tokenizer = tokenizer;
    this.#weights = weights;
    this.#byDefault = byDefault;
  }

  static async load(described: StaticDescription, signal: AbortSignal | undefined): Promise<StaticQueries> {
    const model = { vocabSize: described.weights.length, padId: undefined };
    const options = { maxLength: Infinity, model, signal };
    return new StaticQueries(await Tokenizer.load(described.directory, options), described);
  }

  /**
   * Whether texts of `side` come here; undefined is the checkpoint's default.
   *
   * @throws PadlessError E_INVALID_ARGUMENT where neither says anything.
   */
  takes(side: StaticDescription['byDefault']): boolean {
    const chosen = side ?? this.#byDefault;
    if (chosen !== undefined) return chosen === 'query';
    throw new PadlessError(
      'E_INVALID_ARGUMENT',
      'The checkpoint reads queries and documents in two ways: give side.',
      {
        field: 'side',
      },
    );
  }

  /** Calls `append` for texts after texts. */
  async encode(
    texts: readonly string[],
    options: EncodeOptions,
    topK: number,
    append: Append,
  ): Promise<void> {
    const encode = { ...options, specialTokens: false, details: false };
    for await (const { ids, lengths, texts: indices } of tokenizeChunks(this.#tokenizer, texts, encode)) {
      append(this.#rows(ids, lengths, topK), indices);
      await nextTurn();
    }
  }

  async dispose(): Promise<void> {
    await this.#tokenizer.dispose();
  }

  #rows(ids: Int32Array, lengths: Int32Array, topK: number): SparseRows {
    let begin = 0;
    const rows = Array.from(lengths, (length) => {
      const present = new Set(ids.subarray(begin, (begin += length)));
      const entries = Array.from(present, (id): [number, number] => [id, this.#weights[id]!]);
      return largest(
        entries.filter(([, weight]) => weight !== 0),
        topK,
      );
    });
    const offsets = new Int32Array(rows.length + 1);
    rows.forEach((row, i) => (offsets[i + 1] = offsets[i]! + row.length));
    const entries = rows.flat();
    return {
      offsets,
      indices: Int32Array.from(entries, ([id]) => id),
      values: Float32Array.from(entries, ([, weight]) => weight),
    };
  }
}
