import type { TokenBatch } from '../batching/batches';
import type { PassOptions } from '../batching/shared_passes';
import { PadlessError } from '../errors';
import { readCrossEncoder } from '../models/cross_encoder';
import type { ModelDescription } from '../models/description';
import type { TaskHead } from '../models/heads/task_head';
import type { EncodeOptions } from '../tokenizer/tokenizer';
import { abortSignal, boolean, checkOptions, integer, oneOf, string } from '../options';
import { beyondTheLimit, chunkRows, chunksOption, collectRows, type ChunkOptions } from './chunk_pooling';
import { LogitsTask, loadHeadTask, type HeadLoadOptions, type HeadModel } from './head_task';
import { checkTexts } from './inputs';
import { largest, sigmoid } from './scores';
import type { LogitColumns, Passes } from './task';
import { checkTextsOrPairs, type TextPair } from './text_pairs';
import {
  DEFAULT_INSTRUCTION,
  QUESTION_TOKENS,
  noAndYes,
  question,
  readAffixes,
  surrounded,
  type Affixes,
} from './yes_no';

const ACTIVATIONS = ['sigmoid', 'none'] as const;

/** Options of {@link Reranker.scores}. */
export interface RerankScoreOptions {
  /** Instead of what the checkpoint says, see {@link Reranker.activation}; `none` gives the logits. */
  activation?: 'sigmoid' | 'none';
  /** What is looked for, in words: for Qwen3-Reranker only, whose default is about web search. */
  instruction?: string;
  /** Most tokens of one forward pass. */
  batchTokens?: number;
  /** Cut pairs to the model's limit (the default), from the end of the longer text; otherwise E_TOO_LONG. */
  truncate?: boolean;
  /**
   * Neither: read a pair beyond the limit with its document in chunks, each with the whole query; the best chunk counts,
   * or the mean (arXiv:1905.09217). `true` for the defaults of {@link ChunkOptions}; cross-encoders only.
   */
  chunks?: boolean | ChunkOptions;
  /** Rejects the call with E_ABORTED and stops the work. */
  signal?: AbortSignal;
}

/** Options of {@link Reranker.rank}. */
export interface RankOptions extends RerankScoreOptions {
  /** Documents given back, the best ones; all by default. */
  topN?: number;
}

const scoreOptions = {
  activation: oneOf(ACTIVATIONS),
  instruction: string,
  batchTokens: integer(1),
  truncate: boolean,
  chunks: chunksOption('max'),
  signal: abortSignal,
};

/** A document in its place. */
export interface RankedDocument {
  /** In the list of documents that was given. */
  index: number;
  score: number;
  document: string;
}

/**
 * Scores how well documents answer a query; query and document share a sequence. Checkpoints
 * `...ForSequenceClassification` with one label (cross-encoders), and Qwen3-Reranker, a `Qwen3ForCausalLM` that is
 * asked for "yes" or "no" (arXiv:2506.05176): its score is the probability of "yes" among the two.
 *
 * @example
 * ```ts
 * await using reranker = await Reranker.load('./ms-marco-MiniLM-L6-v2');
 * const ranked = await reranker.rank('how do tides work', documents, { topN: 3 });
 * ranked[0];   // { index: 17, score: 0.98, document: 'The moon ...' }
 * ```
 */
export class Reranker extends LogitsTask {
  readonly #maxLength: number;
  /** What stands around a question to a language model; undefined for a cross-encoder. */
  readonly #affixes: Affixes | undefined;
  /**
   * What makes scores of logits: `activation_fn` of the checkpoint (a path such as torch.nn.Identity); sigmoid
   * where it says nothing.
   */
  readonly activation: 'sigmoid' | 'none';

  private constructor(model: HeadModel, settings: RerankerSettings) {
    super(model);
    this.activation = settings.activation;
    this.#affixes = settings.affixes;
    this.#maxLength = Math.min(settings.maxLength, model.tokenizer.maxLength);
  }

  /**
   * Loads a Hugging Face directory: config.json, safetensors, tokenizer.json, and what sentence-transformers'
   * CrossEncoder has put beside them.
   *
   * @throws PadlessError E_NOT_FOUND, E_BAD_CONFIG, E_BAD_WEIGHTS, E_BAD_TOKENIZER, E_UNSUPPORTED (no such head,
   * several labels, an unknown activation), E_DEVICE, E_ABORTED or E_INVALID_ARGUMENT.
   */
  static async load(path: string, options?: HeadLoadOptions): Promise<Reranker> {
    const wanted = ['sequence-classification', 'causal-lm'] as const;
    const make = async (model: HeadModel) => new Reranker(model, await readSettings(model));
    return loadHeadTask('Reranker', path, options, wanted, make, answerColumns);
  }

  /** Most tokens of a query with its document, special tokens included. */
  override get maxLength(): number {
    return this.#maxLength;
  }

  /**
   * The documents by how well they answer the query, the best first; of equal ones, the earlier first.
   *
   * @throws PadlessError E_INVALID_ARGUMENT for what is no string or option, E_TOO_LONG with `truncate: false`,
   * E_ABORTED, E_DISPOSED.
   */
  async rank(query: string, documents: readonly string[], options?: RankOptions): Promise<RankedDocument[]> {
    const { topN = Infinity, ...rest } = checkOptions('rank', options, { ...scoreOptions, topN: integer(1) });
    if (typeof query !== 'string') {
      throw new PadlessError('E_INVALID_ARGUMENT', 'query must be a string.', { field: 'query' });
    }
    const pairs = checkTexts(documents, 'documents').map((pair) => ({ text: query, pair }));
    const scores = await this.scores(pairs, rest as RerankScoreOptions);
    return largest(scores, topN).map((index) => ({
      index,
      score: scores[index]!,
      document: pairs[index]!.pair,
    }));
  }

  /**
   * A score for each pair of a query (`text`) and a document (`pair`), in the order of the pairs.
   *
   * @throws PadlessError as {@link Reranker.rank}.
   */
  async scores(pairs: readonly TextPair[], options?: RerankScoreOptions): Promise<Float32Array> {
    const checked = checkOptions('scores', options, scoreOptions);
    const { activation = this.activation } = checked;
    const { texts, pairs: seconds } = checkTextsOrPairs(pairs);
    if (texts.length > 0 && !seconds) {
      throw new PadlessError('E_INVALID_ARGUMENT', 'pairs must be a list of { text, pair }.', {
        field: 'pairs',
      });
    }
    if (checked.chunks && this.#affixes) {
      throw new PadlessError('E_INVALID_ARGUMENT', 'A reranker made of a language model reads no chunks.', {
        field: 'chunks',
      });
    }
    const long = beyondTheLimit(checked, this.truncate);
    const collected = collectRows(texts.length, checked.chunks);
    const input = this.#input(texts, seconds ?? [], checked.instruction);
    await this.whileOpen(checked.signal, (call) =>
      this.forward(
        input.texts,
        { ...input.encode, ...long },
        {
          batchTokens: checked.batchTokens,
          ...(input.sequences && { sequences: input.sequences }),
          start: async (batch, pass) => chunkRows(batch, await this.#relevances(batch, pass)),
          finish: (rows) => collected.append(rows),
        },
        call,
      ),
    );
    const logits = collected.embeddings().data;
    return activation === 'sigmoid' ? logits.map(sigmoid) : logits;
  }

  /** The pairs as the tokenizer takes them. */
  #input(
    texts: string[],
    pairs: string[],
    instruction: string | undefined,
  ): { texts: string[]; encode: EncodeOptions; sequences?: Passes<unknown>['sequences'] } {
    const affixes = this.#affixes;
    if (!affixes) {
      if (instruction === undefined) return { texts, encode: { pairs, maxLength: this.#maxLength } };
      throw new PadlessError('E_INVALID_ARGUMENT', 'A cross-encoder takes no instruction.', {
        field: 'instruction',
      });
    }
    const words = instruction ?? DEFAULT_INSTRUCTION;
    return {
      texts: texts.map((text, i) => question(words, text, pairs[i]!)),
      encode: { maxLength: this.#maxLength - affixes.prefix.length - affixes.suffix.length },
      sequences: (chunks) => surrounded(chunks, affixes),
    };
  }

  /** One logit a sequence: the label's, or by how much "yes" is likelier than "no". */
  async #relevances(batch: TokenBatch, pass: PassOptions): Promise<Float32Array> {
    if (!this.#affixes) return this.logits(batch, pass);
    const answers = await this.logits(
      batch,
      pass,
      batch.cuSeqlens.slice(1).map((end) => end - 1),
    );
    return Float32Array.from({ length: answers.length / 2 }, (_, i) => answers[2 * i + 1]! - answers[2 * i]!);
  }
}

interface RerankerSettings {
  activation: 'sigmoid' | 'none';
  maxLength: number;
  affixes?: Affixes;
}

async function readSettings({ head, description, tokenizer }: HeadModel): Promise<RerankerSettings> {
  const { activation, maxSeqLength } = await readCrossEncoder(description.directory, description.config);
  if (head.task === 'causal-lm') {
    const affixes = await readAffixes(tokenizer);
    const maxLength = Math.min(maxSeqLength ?? QUESTION_TOKENS, tokenizer.maxLength);
    if (maxLength > affixes.prefix.length + affixes.suffix.length) return { activation, maxLength, affixes };
    throw new PadlessError(
      'E_BAD_CONFIG',
      `The limit of ${maxLength} tokens leaves no room for query and document in the question to the model.`,
      { field: 'model_max_length' },
    );
  }
  if (head.width !== 1) {
    throw new PadlessError(
      'E_UNSUPPORTED',
      `A Reranker needs a checkpoint with one label, but "id2label" in config.json has ${head.width}; load it as a Classifier.`,
      { field: 'id2label' },
    );
  }
  return { activation, maxLength: maxSeqLength ?? Infinity };
}

/** Of a language model's logits, those of its two answers. */
function answerColumns({ config }: ModelDescription, head: TaskHead): LogitColumns | undefined {
  if (head.task !== 'causal-lm') return undefined;
  if (config['model_type'] === 'qwen3') return noAndYes;
  throw new PadlessError(
    'E_UNSUPPORTED',
    `How "model_type" ${JSON.stringify(config['model_type'])} is asked for a relevance is not known; of language models only Qwen3-Reranker is supported.`,
    { field: 'model_type' },
  );
}
