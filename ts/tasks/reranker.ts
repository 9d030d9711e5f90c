import { copySliced } from '../batching/slices';
import { PadlessError } from '../errors';
import { readCrossEncoder } from '../models/cross_encoder';
import { abortSignal, boolean, checkOptions, integer, oneOf } from '../options';
import { LogitsTask, loadHeadTask, type HeadLoadOptions, type HeadModel } from './head_task';
import { checkTexts } from './inputs';
import { largest, sigmoid } from './scores';
import { checkTextsOrPairs, type TextPair } from './text_pairs';

const ACTIVATIONS = ['sigmoid', 'none'] as const;

/** Options of {@link Reranker.scores}. */
export interface RerankScoreOptions {
  /** Instead of what the checkpoint says, see {@link Reranker.activation}; `none` gives the logits. */
  activation?: 'sigmoid' | 'none';
  /** Most tokens of one forward pass. */
  batchTokens?: number;
  /** Cut pairs to the model's limit (the default), from the end of the longer text; otherwise E_TOO_LONG. */
  truncate?: boolean;
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
  batchTokens: integer(1),
  truncate: boolean,
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
 * Scores how well documents answer a query, by a cross-encoder: query and document share a sequence. Checkpoints
 * `...ForSequenceClassification` with one label.
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
  /**
   * What makes scores of logits: `activation_fn` of the checkpoint (a path such as torch.nn.Identity); sigmoid
   * where it says nothing.
   */
  readonly activation: 'sigmoid' | 'none';

  private constructor(model: HeadModel, activation: 'sigmoid' | 'none', maxLength: number) {
    super(model);
    this.#maxLength = Math.min(maxLength, model.tokenizer.maxLength);
    this.activation = activation;
  }

  /**
   * Loads a Hugging Face directory: config.json, safetensors, tokenizer.json, and what sentence-transformers'
   * CrossEncoder has put beside them.
   *
   * @throws PadlessError E_NOT_FOUND, E_BAD_CONFIG, E_BAD_WEIGHTS, E_BAD_TOKENIZER, E_UNSUPPORTED (no such head,
   * several labels, an unknown activation), E_DEVICE, E_ABORTED or E_INVALID_ARGUMENT.
   */
  static async load(path: string, options?: HeadLoadOptions): Promise<Reranker> {
    const wanted = ['sequence-classification'] as const;
    return loadHeadTask('Reranker', path, options, wanted, async (model) => {
      const { head, description } = model;
      if (head.width !== 1) {
        throw new PadlessError(
          'E_UNSUPPORTED',
          `A Reranker needs a checkpoint with one label, but "id2label" in config.json has ${head.width}; load it as a Classifier.`,
          { field: 'id2label' },
        );
      }
      const settings = await readCrossEncoder(description.directory, description.config);
      return new Reranker(model, settings.activation, settings.maxSeqLength ?? Infinity);
    });
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
    const scores = new Float32Array(texts.length);
    let next = 0;
    await this.whileOpen(checked.signal, (call) =>
      this.forward(
        texts,
        { pairs: seconds, maxLength: this.#maxLength, truncate: checked.truncate ?? this.truncate },
        {
          batchTokens: checked.batchTokens,
          start: (batch) => this.logits(batch, call.signal),
          finish: async (logits) => {
            await copySliced(scores, activation === 'sigmoid' ? logits.map(sigmoid) : logits, next);
            next += logits.length;
          },
        },
        call,
      ),
    );
    return scores;
  }
}
