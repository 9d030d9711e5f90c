import type { TokenBatch } from '../batching/batches';
import type { PassOptions } from '../batching/shared_passes';
import { loadOptions, type LoadOptions } from '../encoder';
import { PadlessError, throwIfAborted } from '../errors';
import { describeSparse, type SparseWeights } from '../models/sparse';
import { SIDES, type Side } from '../models/routes';
import { abortSignal, boolean, checkOptions, integer, oneOf, string } from '../options';
import type { SparseRows } from '../run';
import { beyondTheLimit, strideOption, type ChunkOptions } from './chunk_pooling';
import { checkTexts, promptFor } from './inputs';
import { collectSparse } from './sparse_chunks';
import type { SparseVectors } from './sparse_vectors';
import { StaticQueries } from './static_queries';
import { Task, loadModel, queueOptions, type Model, type QueueOptions } from './task';
import { termWeights } from './term_weights';

/** Options of {@link SparseEncoder.load}. */
export interface SparseEncoderLoadOptions extends LoadOptions, QueueOptions {
  /** Default of `truncate` in {@link SparseEncodeOptions}. */
  truncate?: boolean;
}

/** Options of {@link SparseEncoder.encode}. */
export interface SparseEncodeOptions {
  /** Keep the largest weights of each text, so many (sentence-transformers' `max_active_dims`); all otherwise. */
  topK?: number;
  /**
   * What the texts are, for a checkpoint that takes the vectors of queries from a table of weights (OpenSearch's
   * inference-free models); `default_route` of the checkpoint otherwise, documents as a rule.
   */
  side?: Side;
  /** Name of a prompt of config_sentence_transformers.json, put before each text; its default otherwise. */
  promptName?: string;
  /** A prompt as text, instead of a name. `''` for none. */
  prompt?: string;
  /** Most tokens of one forward pass. A longer text is a pass of its own. */
  batchTokens?: number;
  /** Cut texts to the model's limit (the default); otherwise a longer one is E_TOO_LONG. */
  truncate?: boolean;
  /**
   * Neither: read a text beyond the limit in chunks that overlap by `stride` tokens, 0 by default; of each column the
   * largest weight counts, as within a text.
   */
  chunks?: boolean | Pick<ChunkOptions, 'stride'>;
  /** Rejects the call with E_ABORTED and stops the work. */
  signal?: AbortSignal;
}

const encodeOptions = {
  topK: integer(1),
  side: oneOf(SIDES),
  promptName: string,
  prompt: string,
  batchTokens: integer(1),
  truncate: boolean,
  chunks: strideOption,
  signal: abortSignal,
};

/**
 * Turns texts into sparse vectors over the vocabulary, for inverted indices: SPLADE (arXiv:2109.10086), whose
 * masked language model also weighs words that are not in the text, and TILDEv2 (arXiv:2108.08513), which weighs the
 * text's own. The largest logits are taken on the device; [tokens, vocabulary] never exists.
 *
 * @example
 * ```ts
 * await using encoder = await SparseEncoder.load('./splade-v3');
 * const vectors = await encoder.encode(['short', 'a much longer passage'], { topK: 128 });
 * vectors.row(0);   // { indices: Int32Array, values: Float32Array }
 * ```
 */
export class SparseEncoder extends Task {
  readonly #weights: SparseWeights;
  readonly #queries: StaticQueries | undefined;
  readonly #truncate: boolean;

  private constructor(
    model: Model,
    weights: SparseWeights,
    queries: StaticQueries | undefined,
    truncate: boolean,
  ) {
    super(model);
    this.#weights = weights;
    this.#queries = queries;
    this.#truncate = truncate;
  }

  /**
   * Loads a directory of a masked language model, with modules.json of sentence-transformers (also with a Router for
   * queries that are looked up) or without, or of a TILDEv2 model.
   *
   * @throws PadlessError E_NOT_FOUND, E_BAD_CONFIG, E_BAD_WEIGHTS, E_BAD_TOKENIZER, E_UNSUPPORTED, E_DEVICE,
   * E_ABORTED or E_INVALID_ARGUMENT.
   */
  static async load(path: string, options: SparseEncoderLoadOptions = {}): Promise<SparseEncoder> {
    const {
      truncate = true,
      joinCalls,
      maxWaitingTokens,
      ...load
    } = checkOptions('SparseEncoder.load', options, {
      ...loadOptions,
      truncate: boolean,
      ...queueOptions,
    });
    throwIfAborted(load.signal);
    const { description, weights, queries } = await describeSparse(path);
    const logits = weights.kind === 'logits';
    const lookup = queries && (await StaticQueries.load(queries, load.signal));
    try {
      const model = await loadModel(description, { ...(load as LoadOptions), logits });
      return new SparseEncoder({ ...model, joinCalls, maxWaitingTokens }, weights, lookup, truncate);
    } catch (error) {
      await lookup?.dispose();
      throw error;
    }
  }

  /** Columns of a vector: ids of the vocabulary. */
  get dimensions(): number {
    return this.encoder.spec.vocabSize;
  }

  /** The checkpoint's prompts by name. */
  get prompts(): Readonly<Record<string, string>> {
    return this.encoder.pipeline?.prompts ?? {};
  }

  /**
   * One sparse vector for each text, in the order of the texts. The event loop stays free.
   *
   * @throws PadlessError E_INVALID_ARGUMENT for what is no string or option, E_TOO_LONG with `truncate: false`,
   * E_ABORTED, E_DISPOSED.
   */
  async encode(input: string | readonly string[], options: SparseEncodeOptions = {}): Promise<SparseVectors> {
    const checked = checkOptions('encode', options, encodeOptions);
    const { chunks, topK = 0 } = checked;
    const long = beyondTheLimit(checked, this.#truncate);
    const texts = checkTexts(input);
    const prefix = promptFor(checked, this.encoder.pipeline);
    const queries = this.#lookup(checked.side);
    return this.whileOpen(checked.signal, async (call) => {
      const collected = collectSparse(chunks, topK);
      if (queries) {
        const options = { prefix, ...long, signal: call.signal };
        const append: Parameters<StaticQueries['encode']>[3] = (rows, indices) =>
          collected.append(rows, indices);
        await queries.encode(texts, options, chunks ? 0 : topK, append);
        return collected.vectors(this.dimensions);
      }
      await this.forward(
        texts,
        { prefix, ...long, details: this.#weights.kind === 'terms' },
        {
          batchTokens: checked.batchTokens,
          // The largest weights of a text are known when all of its chunks are.
          start: async (batch, pass) => ({ batch, rows: await this.#run(batch, chunks ? 0 : topK, pass) }),
          finish: async ({ batch, rows }) => collected.append(rows, batch.texts),
        },
        call,
      );
      return collected.vectors(this.dimensions);
    });
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#queries?.dispose();
  }

  /** The table that the vectors of these texts come from, if they do. */
  #lookup(side: Side | undefined): StaticQueries | undefined {
    if (this.#queries) return this.#queries.takes(side) ? this.#queries : undefined;
    if (side === undefined) return undefined;
    throw new PadlessError(
      'E_INVALID_ARGUMENT',
      'The checkpoint reads queries as it reads documents: leave side out.',
      {
        field: 'side',
      },
    );
  }

  async #run(batch: TokenBatch, topK: number, pass: PassOptions): Promise<SparseRows> {
    if (this.#weights.kind === 'logits') {
      const { logs } = this.#weights;
      const rows = { sparse: batch.cuSeqlens.length - 1 };
      const { sparse } = await this.passes.run(batch, { rows, options: { sparse: { topK, logs } } }, pass);
      return sparse!;
    }
    const { projections } = await this.passes.run(batch, { rows: { projections: batch.ids.length } }, pass);
    return termWeights(batch, projections![0]!, new Set(), topK);
  }
}
