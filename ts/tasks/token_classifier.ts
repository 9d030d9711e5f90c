import type { TokenBatch } from '../batching/batches';
import { sliced } from '../batching/slices';
import { PadlessError } from '../errors';
import { abortSignal, boolean, checkOptions, integer, oneOf, stringList } from '../options';
import {
  AGGREGATIONS,
  aggregate,
  mergeWindows,
  type Aggregation,
  type Entity,
  type ScoredToken,
} from './entities';
import { LogitsTask, loadHeadTask, type HeadLoadOptions, type HeadModel } from './head_task';
import { checkTexts } from './inputs';
import { softmax } from './scores';

/** Options of {@link TokenClassifier.classify}. */
export interface TokenClassifyOptions {
  /**
   * - `none`: every token with its own label
   * - `simple` (the default): neighbouring tokens of one entity are joined
   * - `first`, `average`, `max`: as `simple`, but all tokens of a word have one label: that of its first token, of
   *   the mean of their scores, or of the token with the highest score
   */
  aggregation?: Aggregation;
  /** Labels that are no entities; `['O']` by default. */
  ignoreLabels?: readonly string[];
  /**
   * Texts beyond the model's limit are read in windows that overlap by so many tokens. Without it they are cut, or
   * refused with `truncate: false`.
   */
  stride?: number;
  truncate?: boolean;
  /** Most tokens of one forward pass. */
  batchTokens?: number;
  /** Rejects the call with E_ABORTED and stops the work. */
  signal?: AbortSignal;
}

const tokenClassifyOptions = {
  aggregation: oneOf(AGGREGATIONS),
  ignoreLabels: stringList,
  stride: integer(0),
  truncate: boolean,
  batchTokens: integer(1),
  signal: abortSignal,
};

type Window = ReturnType<typeof aggregate>;

/**
 * Finds entities in texts (names, places, ...) by a checkpoint `...ForTokenClassification`, as transformers'
 * token-classification pipeline does.
 *
 * @example
 * ```ts
 * await using ner = await TokenClassifier.load('./bert-base-NER');
 * const [entities] = await ner.classify('Ada Lovelace lived in London.');
 * entities[1];   // { label: 'LOC', score: 0.99, start: 22, end: 28, text: 'London' }
 * ```
 */
export class TokenClassifier extends LogitsTask {
  private constructor(model: HeadModel) {
    super(model);
  }

  /**
   * Loads a Hugging Face directory: config.json, safetensors, tokenizer.json.
   *
   * @throws PadlessError E_NOT_FOUND, E_BAD_CONFIG (`id2label` with holes), E_BAD_WEIGHTS, E_BAD_TOKENIZER,
   * E_UNSUPPORTED (no such head), E_DEVICE, E_ABORTED or E_INVALID_ARGUMENT.
   */
  static async load(path: string, options?: HeadLoadOptions): Promise<TokenClassifier> {
    const wanted = ['token-classification'] as const;
    return loadHeadTask('TokenClassifier', path, options, wanted, (model) => new TokenClassifier(model));
  }

  /** The labels by their numbers. */
  get labels(): readonly string[] {
    return this.head.labels!;
  }

  /**
   * The entities of each text in the order of the text; a single string gives one list. Scores are softmax
   * probabilities; offsets count UTF-16 units, as `slice` does.
   *
   * @throws PadlessError E_INVALID_ARGUMENT for what is no string or option, E_TOO_LONG with `truncate: false`,
   * E_ABORTED, E_DISPOSED.
   */
  async classify(input: string | readonly string[], options?: TokenClassifyOptions): Promise<Entity[][]> {
    const checked = checkOptions('classify', options, tokenClassifyOptions);
    const { aggregation = 'simple', ignoreLabels = ['O'], stride } = checked;
    if (stride !== undefined && (checked.truncate !== undefined || aggregation === 'none')) {
      throw new PadlessError(
        'E_INVALID_ARGUMENT',
        'A stride goes neither with truncate nor with aggregation "none".',
        { field: 'stride' },
      );
    }
    const texts = checkTexts(input);
    const windows: Window[][] = texts.map(() => []);
    let next = 0;
    const read = function* (this: TokenClassifier, batch: TokenBatch, logits: Float32Array): Generator<void> {
      for (let i = 0; i + 1 < batch.cuSeqlens.length; i++) {
        const index = batch.texts?.[i] ?? next++;
        const tokens = this.#tokens(texts[index]!, batch, i, logits);
        windows[index]!.push(aggregate(tokens, this.labels, aggregation, ignoreLabels));
        yield;
      }
    }.bind(this);
    await this.whileOpen(checked.signal, (call) =>
      this.forward(
        texts,
        {
          details: true,
          ...(stride === undefined ? { truncate: checked.truncate ?? this.truncate } : { stride }),
        },
        {
          batchTokens: checked.batchTokens,
          start: async (batch, pass) => ({ batch, logits: await this.logits(batch, pass) }),
          finish: ({ batch, logits }) => sliced(read(batch, logits)),
        },
        call,
      ),
    );
    return windows.map((found, i) =>
      mergeWindows(found).map((entity) => ({ ...entity, text: texts[i]!.slice(entity.start, entity.end) })),
    );
  }

  /** The tokens of the text in sequence `sequence`, special ones left out. */
  #tokens(text: string, batch: TokenBatch, sequence: number, logits: Float32Array): ScoredToken[] {
    const { offsets, segments } = batch.details!;
    const width = this.labels.length;
    const tokens: ScoredToken[] = [];
    for (let t = batch.cuSeqlens[sequence]!; t < batch.cuSeqlens[sequence + 1]!; t++) {
      if (segments[t] !== 0) continue;
      const [start, end] = [offsets[2 * t]!, offsets[2 * t + 1]!];
      const scores = softmax(logits.subarray(t * width, (t + 1) * width));
      tokens.push({ scores, start, end, isSubword: this.#isSubword(text, batch, t) });
    }
    return tokens;
  }

  /**
   * Whether token `t` goes on with the word before it. Where the vocabulary does not mark that, words are what
   * stands between spaces, as in transformers' pipeline.
   */
  #isSubword(text: string, { ids, details }: TokenBatch, t: number): boolean {
    const { words, segments, offsets } = details!;
    if (ids[t] === this.tokenizer.unknownId) return false;
    if (this.tokenizer.marksSubwords) {
      return t > 0 && segments[t - 1] === 0 && words[t] !== -1 && words[t] === words[t - 1];
    }
    const start = offsets[2 * t]!;
    return start > 0 && !text.slice(start - 1, start + 1).includes(' ');
  }
}
