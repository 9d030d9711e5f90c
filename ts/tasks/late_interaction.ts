import type { TokenBatch } from '../batching/batches';
import { addTokens, type AddedTokens } from '../batching/markers';
import type { PassOptions } from '../batching/shared_passes';
import { loadOptions, type LoadOptions } from '../encoder';
import { PadlessError, throwIfAborted } from '../errors';
import {
  describeLateInteraction,
  type LateInteractionDescription,
  type SideSpec,
} from '../models/late_interaction';
import { abortSignal, boolean, checkOptions, integer } from '../options';
import type { Stream } from '../stream';
import type { Tokenizer } from '../tokenizer/tokenizer';
import { beyondTheLimit, strideOption, type ChunkOptions, type Chunking } from './chunk_pooling';
import { checkTexts } from './inputs';
import { maxSim } from './max_sim';
import { MultiVectors, VectorCollector, keepTokens, type VectorBlock } from './multi_vectors';
import type { RankedDocument } from './reranker';
import { largest } from './scores';
import type { SimilarityMatrix } from './similarity';
import { Task, loadModel, queueOptions, type Model, type QueueOptions, type TextList } from './task';

/** Options of {@link LateInteraction.load}. */
export interface LateInteractionLoadOptions extends LoadOptions, QueueOptions {
  /** Default of `truncate` in {@link LateEncodeOptions}, for documents. */
  truncate?: boolean;
}

/** Options of {@link LateInteraction.encodeQueries}. */
export interface LateEncodeOptions {
  /** Most tokens of one forward pass. A longer text is a pass of its own. */
  batchTokens?: number;
  /**
   * Cut texts to the limit (the default); otherwise a longer one is E_TOO_LONG. Queries of a checkpoint that fills
   * them up to a fixed length are always cut to it.
   */
  truncate?: boolean;
  /** Rejects the call with E_ABORTED and stops the work. */
  signal?: AbortSignal;
}

/** Options of {@link LateInteraction.encodeDocuments}. */
export interface LateDocumentOptions extends LateEncodeOptions {
  /**
   * Instead of a cut: read a document beyond the limit in chunks that overlap by `stride` tokens, 0 by default, each
   * with marker and special tokens of its own. The document has the vectors of all chunks, of a token in two chunks
   * that of the earlier.
   */
  chunks?: boolean | Pick<ChunkOptions, 'stride'>;
}

/** Options of {@link LateInteraction.rank}: `chunks` is for documents, a query is cut in any case. */
export interface LateRankOptions extends LateDocumentOptions {
  /** Documents given back, the best ones; all by default. */
  topN?: number;
}

const encodeOptions = { batchTokens: integer(1), truncate: boolean, signal: abortSignal };
const documentOptions = { ...encodeOptions, chunks: strideOption };

type CheckedOptions = LateEncodeOptions & { chunks?: Pick<Chunking, 'stride'> | false };

/** What a query or a document is made of, with the ids of its tokens. */
interface Side extends AddedTokens {
  /** Text put before each text. */
  prefix: string;
  /** Most tokens that the tokenizer may give. */
  maxLength: number;
  alwaysCut: boolean;
  /** Ids of tokens without a vector. */
  skipped: ReadonlySet<number>;
}

function badTokenizer(what: string): PadlessError {
  return new PadlessError('E_BAD_TOKENIZER', what, { field: 'tokenizer.json' });
}

/** A marker that is a token goes in by its id, since the tokenizer might take it apart; others are text. */
async function markerOf(
  { marker }: SideSpec,
  tokenizer: Tokenizer,
): Promise<{ prefix: string; marker?: number }> {
  if (marker === '') return { prefix: '' };
  const [whole, bare] = await tokenizer.tokenIds([marker, marker.trimEnd()]);
  const id = whole ?? bare;
  return id === undefined || id === tokenizer.unknownId ? { prefix: marker } : { prefix: '', marker: id };
}

async function querySide({ query }: LateInteractionDescription, tokenizer: Tokenizer): Promise<Side> {
  const { prefix, marker } = await markerOf(query, tokenizer);
  const { expansion } = query;
  const own = Math.min(query.maxLength ?? Infinity, tokenizer.maxLength);
  const maxLength =
    (expansion?.fixed ? Math.min(expansion.length, tokenizer.maxLength) : own) -
    (marker === undefined ? 0 : 1);
  const side = {
    prefix,
    marker,
    maxLength,
    alwaysCut: expansion?.fixed ?? false,
    skipped: new Set<number>(),
  };
  if (!expansion) return side;
  const id =
    expansion.token === undefined ? tokenizer.maskId : (await tokenizer.tokenIds([expansion.token]))[0];
  if (id === undefined) {
    throw badTokenizer(
      `Queries are filled up with ${expansion.token ?? 'the mask token'}, which the tokenizer does not have.`,
    );
  }
  const length = Math.min(expansion.length, tokenizer.maxLength);
  return { ...side, fill: { id, length, seen: expansion.attend } };
}

async function documentSide({ document }: LateInteractionDescription, tokenizer: Tokenizer): Promise<Side> {
  const { prefix, marker } = await markerOf(document, tokenizer);
  const maxLength =
    Math.min(document.maxLength ?? Infinity, tokenizer.maxLength) - (marker === undefined ? 0 : 1);
  const ids = await tokenizer.tokenIds(document.skipped);
  // A word that the vocabulary lacks must not take all unknown ones with it.
  const skipped = new Set(ids.flatMap((id) => (id === undefined || id === tokenizer.unknownId ? [] : [id])));
  return { prefix, marker, maxLength, alwaysCut: false, skipped };
}

/**
 * ColBERT (arXiv:2004.12832): a vector for every token, and scores by the sum over the query's vectors of the largest
 * dot product with the document's. Directories of sentence-transformers' MultiVectorEncoder, of PyLate and of the
 * original code.
 *
 * @example
 * ```ts
 * await using colbert = await LateInteraction.load('./answerai-colbert-small-v1');
 * const ranked = await colbert.rank('how do tides work', documents, { topN: 3 });
 * const index = await colbert.encodeDocuments(documents);   // once, for many queries
 * const scores = await colbert.similarity(await colbert.encodeQueries(['how do tides work']), index);
 * ```
 */
export class LateInteraction extends Task {
  readonly #query: Side;
  readonly #document: Side;
  readonly #truncate: boolean;
  readonly #stream: Stream;
  /** Numbers of a vector. */
  readonly dimensions: number;

  private constructor(
    model: Model,
    sides: { query: Side; document: Side },
    dimensions: number,
    truncate: boolean,
  ) {
    super(model);
    this.#query = sides.query;
    this.#document = sides.document;
    this.#truncate = truncate;
    this.#stream = model.encoder.device.createStream();
    this.dimensions = dimensions;
  }

  /**
   * Loads a directory of a late-interaction model.
   *
   * @throws PadlessError E_NOT_FOUND, E_BAD_CONFIG, E_BAD_WEIGHTS, E_BAD_TOKENIZER, E_UNSUPPORTED, E_DEVICE,
   * E_ABORTED or E_INVALID_ARGUMENT.
   */
  static async load(path: string, options: LateInteractionLoadOptions = {}): Promise<LateInteraction> {
    const {
      truncate = true,
      joinCalls,
      maxWaitingTokens,
      ...load
    } = checkOptions('LateInteraction.load', options, {
      ...loadOptions,
      truncate: boolean,
      ...queueOptions,
    });
    throwIfAborted(load.signal);
    const described = await describeLateInteraction(path);
    const model = await loadModel(described.description, { ...(load as LoadOptions), logits: false });
    try {
      const query = await querySide(described, model.tokenizer);
      const document = await documentSide(described, model.tokenizer);
      const { width } = described.description.projections[0]!.head;
      return new LateInteraction(
        { ...model, joinCalls, maxWaitingTokens },
        { query, document },
        width,
        truncate,
      );
    } catch (error) {
      model.encoder.dispose();
      await model.tokenizer.dispose();
      throw error;
    }
  }

  /**
   * The vectors of queries, with the checkpoint's marker and filled up with masks where it says so.
   *
   * @throws PadlessError E_INVALID_ARGUMENT for what is no string or option, E_TOO_LONG with `truncate: false`,
   * E_UNSUPPORTED on a device without queries whose masks are unseen, E_ABORTED, E_DISPOSED.
   */
  async encodeQueries(
    input: string | readonly string[],
    options: LateEncodeOptions = {},
  ): Promise<MultiVectors> {
    const checked = checkOptions('encodeQueries', options, encodeOptions);
    return this.#encode(checkTexts(input, 'queries'), this.#query, checked as CheckedOptions);
  }

  /**
   * The vectors of documents, with the checkpoint's marker; tokens that it skips, such as punctuation, have none.
   *
   * @throws PadlessError E_INVALID_ARGUMENT for what is no string or option, E_TOO_LONG with `truncate: false`,
   * E_ABORTED, E_DISPOSED.
   */
  async encodeDocuments(
    input: string | readonly string[],
    options: LateDocumentOptions = {},
  ): Promise<MultiVectors> {
    const checked = checkOptions('encodeDocuments', options, documentOptions);
    return this.#encode(checkTexts(input, 'documents'), this.#document, checked as CheckedOptions);
  }

  /**
   * Scores of every document for every query, computed by the device from packed vectors.
   *
   * @returns `data` [rows * columns], row-major: queries by documents.
   */
  async similarity(
    queries: MultiVectors,
    documents: MultiVectors,
    options: { signal?: AbortSignal } = {},
  ): Promise<SimilarityMatrix> {
    const { signal: given } = checkOptions('similarity', options, { signal: abortSignal });
    for (const [value, field] of [
      [queries, 'queries'],
      [documents, 'documents'],
    ] as const) {
      if (value instanceof MultiVectors) continue;
      throw new PadlessError('E_INVALID_ARGUMENT', `${field} must be MultiVectors, as encode gives them.`, {
        field,
      });
    }
    return this.whileOpen(given, async ({ signal }) => ({
      data: await maxSim(queries, documents, this.#stream, signal),
      rows: queries.length,
      columns: documents.length,
    }));
  }

  /**
   * The documents by how well they answer the query, the best first; of equal ones, the earlier first.
   *
   * @throws PadlessError as {@link LateInteraction.encodeQueries}.
   */
  async rank(
    query: string,
    documents: readonly string[],
    options: LateRankOptions = {},
  ): Promise<RankedDocument[]> {
    const { topN = Infinity, ...rest } = checkOptions('rank', options, {
      ...documentOptions,
      topN: integer(1),
    });
    if (typeof query !== 'string') {
      throw new PadlessError('E_INVALID_ARGUMENT', 'query must be a string.', { field: 'query' });
    }
    const texts = checkTexts(documents, 'documents');
    const given = rest as CheckedOptions;
    const data = await this.whileOpen(given.signal, async (call) => {
      const queries = new VectorCollector(this.dimensions);
      const found = new VectorCollector(this.dimensions);
      const { chunks, ...cut } = given;
      const whole = chunks ? { ...cut, truncate: true } : cut;
      await this.forwardAll(
        [this.#list([query], this.#query, whole, queries), this.#list(texts, this.#document, given, found)],
        call,
      );
      return maxSim(await queries.vectors(), await found.vectors(), this.#stream, call.signal);
    });
    return largest(data, topN).map((index) => ({ index, score: data[index]!, document: texts[index]! }));
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    this.#stream.dispose();
  }

  async #encode(texts: readonly string[], side: Side, options: CheckedOptions): Promise<MultiVectors> {
    return this.whileOpen(options.signal, async (call) => {
      const collected = new VectorCollector(this.dimensions);
      await this.forwardAll([this.#list(texts, side, options, collected)], call);
      return collected.vectors();
    });
  }

  /** Texts of one side, whose vectors go to `collected`. */
  #list(
    texts: readonly string[],
    side: Side,
    options: CheckedOptions,
    collected: VectorCollector,
  ): TextList<VectorBlock> {
    const long = beyondTheLimit(options, this.#truncate);
    const stride = options.chunks ? options.chunks.stride : 0;
    const { prefix, maxLength, alwaysCut } = side;
    const adds = side.marker !== undefined || side.fill !== undefined;
    return {
      texts,
      encode: { prefix, maxLength, ...(alwaysCut ? { truncate: true } : long), details: adds },
      passes: {
        batchTokens: options.batchTokens,
        ...(adds && { sequences: (chunks) => addTokens(chunks, side) }),
        start: (batch, pass) => this.#run(batch, side.skipped, stride, pass),
        finish: async (block) => collected.append(block),
      },
    };
  }

  async #run(
    batch: TokenBatch,
    skipped: ReadonlySet<number>,
    stride: number,
    pass: PassOptions,
  ): Promise<VectorBlock> {
    const { ids, keyCounts, texts } = batch;
    const { rows, counts } = keepTokens(batch, stride, (t) => !skipped.has(ids[t]!));
    const projectionRows = rows.length < ids.length ? rows : undefined;
    const request = { rows: { projections: rows.length }, keyCounts, projectionRows };
    const { projections } = await this.passes.run(batch, request, pass);
    return { data: projections![0]!, counts, texts };
  }
}
