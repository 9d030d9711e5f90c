import type { TokenBatch } from '../batching/batches';
import type { PassOptions } from '../batching/shared_passes';
import { sliced } from '../batching/slices';
import { PadlessError } from '../errors';
import { abortSignal, boolean, checkOptions, integer, stringList } from '../options';
import { LogitsTask, loadHeadTask, type HeadLoadOptions, type HeadModel } from './head_task';
import { checkTexts } from './inputs';

/** Options of {@link FillMask.fill}. */
export interface FillMaskOptions {
  /** Tokens given for each mask, the likeliest ones; 5 by default. */
  topK?: number;
  /**
   * Only these tokens are candidates, each one token of the vocabulary; their scores are still those among the whole
   * vocabulary.
   */
  targets?: readonly string[];
  /** Most tokens of one forward pass. */
  batchTokens?: number;
  /** Cut texts to the model's limit (the default); otherwise E_TOO_LONG. */
  truncate?: boolean;
  /** Rejects the call with E_ABORTED and stops the work. */
  signal?: AbortSignal;
}

const fillMaskOptions = {
  topK: integer(1),
  targets: stringList,
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

/** What of the vocabulary is looked for: the `count` likeliest, among `ids` only where given. */
interface Wanted {
  count: number;
  ids: readonly number[] | undefined;
}

/** The largest of `logits` and their softmax among all, in steps that let the event loop turn. */
function* likeliest(
  logits: Float32Array,
  { count, ids = undefined }: Wanted,
  into: Candidates,
): Generator<void> {
  const best: number[] = [];
  for (let i = 0; i < (ids ?? logits).length; i++) {
    if (i % STEP === 0) yield;
    const id = ids ? ids[i]! : i;
    if (best.length === count && logits[id]! <= logits[best.at(-1)!]!) continue;
    let at = best.length;
    while (at > 0 && logits[best[at - 1]!]! < logits[id]!) at--;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
  }
  let largest = ids ? -Infinity : logits[best[0]!]!;
  for (let id = 0; ids && id < logits.length; id++) {
    if (id % STEP === 0) yield;
    largest = Math.max(largest, logits[id]!);
  }
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
   * @throws PadlessError E_INVALID_ARGUMENT for what is no string or option, for a text without a mask (it may have
   * been cut off) and for a target that is no token, E_TOO_LONG with `truncate: false`, E_ABORTED, E_DISPOSED.
   */
  async fill(input: string | readonly string[], options?: FillMaskOptions): Promise<Filling[][][]> {
    const checked = checkOptions('fill', options, fillMaskOptions);
    const texts = checkTexts(input);
    const results: Filling[][][] = [];
    await this.whileOpen(checked.signal, async (call) => {
      const ids = checked.targets && (await this.#targetIds(checked.targets, call.signal));
      const count = Math.min(checked.topK ?? 5, ids?.length ?? this.head.width);
      await this.forward(
        texts,
        { truncate: checked.truncate ?? this.truncate },
        {
          batchTokens: checked.batchTokens,
          start: (batch, pass) => this.#maskedLogits(batch, pass),
          finish: async ({ batch, rows, logits }) => {
            const found = await this.#candidates(batch, rows, logits, { count, ids }, results.length);
            for (const masks of found) results.push(await this.#decoded(masks, call.signal));
          },
        },
        call,
      );
    });
    return results;
  }

  /** The ids of the tokens `targets`: as the vocabulary spells them, or as text that is a single token. */
  async #targetIds(targets: readonly string[], signal: AbortSignal): Promise<number[]> {
    if (targets.length === 0) {
      throw new PadlessError('E_INVALID_ARGUMENT', 'targets is an empty list.', { field: 'targets' });
    }
    const known = await this.tokenizer.tokenIds([...targets]);
    const found: number[] = [];
    for (const [i, target] of targets.entries()) {
      const ids = known[i] === undefined ? await this.#tokensOf(target, signal) : [known[i]];
      if (ids.length !== 1 || ids[0] === this.tokenizer.unknownId) {
        throw new PadlessError(
          'E_INVALID_ARGUMENT',
          `targets[${i}], ${JSON.stringify(target)}, is ${ids.length === 1 ? 'not in the vocabulary' : `${ids.length} tokens of the vocabulary, not one`}.`,
          { field: `targets[${i}]` },
        );
      }
      found.push(ids[0]!);
    }
    return [...new Set(found)];
  }

  async #tokensOf(text: string, signal: AbortSignal): Promise<number[]> {
    const { ids } = await this.tokenizer.encode([text], { specialTokens: false, signal });
    return [...ids];
  }

  async #maskedLogits(
    batch: TokenBatch,
    pass: PassOptions,
  ): Promise<{ batch: TokenBatch; rows: Int32Array; logits: Float32Array }> {
    const rows = Int32Array.from(batch.ids.keys()).filter((t) => batch.ids[t] === this.#maskId);
    return { batch, rows, logits: await this.logits(batch, pass, rows) };
  }

  /** The likeliest tokens of every mask, by sequence; `first` is the index of the batch's first text. */
  async #candidates(
    { ids, cuSeqlens }: TokenBatch,
    rows: Int32Array,
    logits: Float32Array,
    wanted: Wanted,
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
          likeliest(logits.subarray(row * this.head.width, (row + 1) * this.head.width), wanted, mask),
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
