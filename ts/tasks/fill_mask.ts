import type { TokenBatch } from '../batching/batches';
import { sliced } from '../batching/slices';
import { PadlessError } from '../errors';
import { abortSignal, boolean, checkOptions, integer } from '../options';
import { LogitsTask, loadHeadTask, type HeadLoadOptions, type HeadModel } from './head_task';
import { checkTexts } from './inputs';

/** Options of {@link FillMask.fill}. */
export interface FillMaskOptions {
  /** Tokens given for each mask, the likeliest ones; 5 by default. */
  topK?: number;
  /** Most tokens of one forward pass. */
  batchTokens?: number;
  /** Cut texts to the model's limit (the default); otherwise E_TOO_LONG. */
  truncate?: boolean;
  /** Rejects the call with E_ABORTED and stops the work. */
  signal?: AbortSignal;
}

const fillMaskOptions = {
  topK: integer(1),
  batchTokens: integer(1),
  truncate: boolean,
  signal: abortSignal,
};

/** A token in the place of a mask. */
export interface Filling {
  /** As the tokenizer decodes it. */
  token: string;
  id: number;
  /** Its probability among the whole vocabulary. */
  score: number;
  /** The text with the token in place, as the tokenizer decodes it; further masks stay. */
  text: string;
}

/** The likeliest tokens of one mask, before they are decoded. */
interface Candidates {
  sequence: Int32Array;
  position: number;
  ids: number[];
  scores: number[];
}

/** Logits looked at in one turn of the event loop: well below a millisecond. */
const STEP = 1 << 14;

/** The `count` largest of `logits` and their softmax, in steps that let the event loop turn. */
function* likeliest(logits: Float32Array, count: number, into: Candidates): Generator<void> {
  const best: number[] = [];
  for (let id = 0; id < logits.length; id++) {
    if (id % STEP === 0) yield;
    if (best.length === count && logits[id]! <= logits[best.at(-1)!]!) continue;
    let at = best.length;
    while (at > 0 && logits[best[at - 1]!]! < logits[id]!) at--;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
  }
  const largest = logits[best[0]!]!;
  let sum = 0;
  for (let id = 0; id < logits.length; id++) {
    if (id % STEP === 0) yield;
    sum += Math.exp(logits[id]! - largest);
  }
  into.ids = best;
  into.scores = best.map((id) => Math.exp(logits[id]! - largest) / sum);
}

/**
 * Guesses the tokens behind masks, by a checkpoint `...ForMaskedLM`. The product with the vocabulary is computed
 * for the masked tokens only.
 *
 * @example
 * ```ts
 * await using filler = await FillMask.load('./bert-base-uncased');
 * const [[guesses]] = await filler.fill(`The capital of France is ${filler.maskToken}.`);
 * guesses[0];   // { token: 'paris', id: 3000, score: 0.42, text: 'the capital of france is paris.' }
 * ```
 */
export class FillMask extends LogitsTask {
  readonly #maskId: number;
  /** How the mask is written in a text. */
  readonly maskToken: string;

  private constructor(model: HeadModel, maskId: number, maskToken: string) {
    super(model);
    this.#maskId = maskId;
    this.maskToken = maskToken;
  }

  /**
   * Loads a Hugging Face directory: config.json, safetensors, tokenizer.json.
   *
   * @throws PadlessError E_NOT_FOUND, E_BAD_CONFIG, E_BAD_WEIGHTS, E_BAD_TOKENIZER (none, or one without a mask
   * token), E_UNSUPPORTED (no such head), E_DEVICE, E_ABORTED or E_INVALID_ARGUMENT.
   */
  static async load(path: string, options?: HeadLoadOptions): Promise<FillMask> {
    return loadHeadTask('FillMask', path, options, ['masked-lm'], async (model) => {
      const { tokenizer } = model;
      if (tokenizer.maskId === undefined) {
        throw new PadlessError('E_BAD_TOKENIZER', `${path}: the tokenizer has no mask token.`, {
          field: 'mask_token',
        });
      }
      const [maskToken] = await tokenizer.decode([Int32Array.of(tokenizer.maskId)]);
      return new FillMask(model, tokenizer.maskId, maskToken!);
    });
  }

  /**
   * For each text, for each of its masks in order: the likeliest tokens, the likeliest first. A single string gives
   * one list of masks.
   *
   * @throws PadlessError E_INVALID_ARGUMENT for what is no string or option and for a text without a mask (it may
   * have been cut off), E_TOO_LONG with `truncate: false`, E_ABORTED, E_DISPOSED.
   */
  async fill(input: string | readonly string[], options?: FillMaskOptions): Promise<Filling[][][]> {
    const checked = checkOptions('fill', options, fillMaskOptions);
    const topK = Math.min(checked.topK ?? 5, this.head.width);
    const texts = checkTexts(input);
    const results: Filling[][][] = [];
    await this.whileOpen(checked.signal, (call) =>
      this.forward(
        texts,
        { truncate: checked.truncate ?? this.truncate },
        {
          batchTokens: checked.batchTokens,
          start: (batch) => this.#maskedLogits(batch, call.signal),
          finish: async ({ batch, rows, logits }) => {
            const found = await this.#candidates(batch, rows, logits, topK, results.length);
            for (const masks of found) results.push(await this.#decoded(masks, call.signal));
          },
        },
        call,
      ),
    );
    return results;
  }

  async #maskedLogits(
    batch: TokenBatch,
    signal: AbortSignal,
  ): Promise<{ batch: TokenBatch; rows: Int32Array; logits: Float32Array }> {
    const rows = Int32Array.from(batch.ids.keys()).filter((t) => batch.ids[t] === this.#maskId);
    return { batch, rows, logits: await this.logits(batch, signal, rows) };
  }

  /** The likeliest tokens of every mask, by sequence; `first` is the index of the batch's first text. */
  async #candidates(
    { ids, cuSeqlens }: TokenBatch,
    rows: Int32Array,
    logits: Float32Array,
    topK: number,
    first: number,
  ): Promise<Candidates[][]> {
    const sequences: Candidates[][] = [];
    let row = 0;
    for (let i = 0; i + 1 < cuSeqlens.length; i++) {
      const [begin, end] = [cuSeqlens[i]!, cuSeqlens[i + 1]!];
      const masks: Candidates[] = [];
      for (; row < rows.length && rows[row]! < end; row++) {
        const position = rows[row]! - begin;
        const mask: Candidates = { sequence: ids.slice(begin, end), position, ids: [], scores: [] };
        await sliced(
          likeliest(logits.subarray(row * this.head.width, (row + 1) * this.head.width), topK, mask),
        );
        masks.push(mask);
      }
      if (masks.length === 0) {
        throw new PadlessError(
          'E_INVALID_ARGUMENT',
          `texts[${first + i}] has no ${this.maskToken}, or none within ${this.maxLength} tokens.`,
          { field: `texts[${first + i}]` },
        );
      }
      sequences.push(masks);
    }
    return sequences;
  }

  async #decoded(masks: readonly Candidates[], signal: AbortSignal): Promise<Filling[][]> {
    const filled = masks.flatMap(({ sequence, position, ids }) =>
      ids.map((id) => sequence.with(position, id)),
    );
    const single = masks.flatMap(({ ids }) => ids.map((id) => Int32Array.of(id)));
    const [texts, tokens] = await Promise.all([
      // With several masks, those that stay would be left out among the special tokens.
      this.tokenizer.decode(filled, { skipSpecialTokens: masks.length === 1, signal }),
      this.tokenizer.decode(single, { signal }),
    ]);
    let next = 0;
    return masks.map(({ ids, scores }) =>
      ids.map((id, i) => ({ token: tokens[next]!, id, score: scores[i]!, text: texts[next++]! })),
    );
  }
}
