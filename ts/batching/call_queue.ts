import { PadlessError } from '../errors';
import type { EncodeOptions } from '../tokenizer/tokenizer';
import type { SharedPasses } from './shared_passes';

/** What waits for a model and what it runs, at this moment. */
export interface QueueInfo {
  /** Calls that have not ended. */
  calls: number;
  /** Those of them that no forward pass is computing. */
  waitingCalls: number;
  /**
   * Tokens that wait for a forward pass. Texts that have not been tokenised yet are counted as a token for every four
   * characters, and a call as the tokens of two passes at most, since it hands over no more at once.
   */
  waitingTokens: number;
  /** Tokens of the forward passes that run. */
  runningTokens: number;
}

/** Of English; what the tokenizer makes of the text counts as soon as it is known. */
const CHARACTERS_PER_TOKEN = 4;
const SPECIAL_TOKENS = 2;

/** The tokens that texts are expected to have: those of sequences cut to `limit`, and no more than `most`. */
export function expectedTokens(
  texts: readonly string[],
  { pairs, prefix = '', stride }: EncodeOptions,
  limit: number,
  most: number,
): number {
  let tokens = 0;
  for (let i = 0; i < texts.length && tokens < most; i++) {
    const characters = prefix.length + texts[i]!.length + (pairs?.[i]!.length ?? 0);
    const whole = SPECIAL_TOKENS + Math.ceil(characters / CHARACTERS_PER_TOKEN);
    tokens += stride === undefined ? Math.min(limit, whole) : whole;
  }
  return Math.min(tokens, most);
}

/** The calls of one model that have not ended, and whether another one may come. A call is known by its signal. */
export class CallQueue {
  readonly #passes: SharedPasses;
  readonly #maxWaitingTokens: number;
  /** Calls that have not ended, with the tokens expected of what has not been tokenised. */
  readonly #calls = new Map<AbortSignal, number>();
  #expectedTokens = 0;

  constructor(passes: SharedPasses, maxWaitingTokens: number) {
    this.#passes = passes;
    this.#maxWaitingTokens = maxWaitingTokens;
  }

  info(): QueueInfo {
    const { waitingTokens, runningTokens, runningCalls } = this.#passes.load();
    const calls = this.#calls.size;
    return {
      calls,
      waitingCalls: calls - runningCalls,
      waitingTokens: waitingTokens + this.#expectedTokens,
      runningTokens,
    };
  }

  /**
   * Lets a call in. One that finds nothing waiting is never refused, however much it brings.
   *
   * @throws PadlessError E_OVERLOADED
   */
  enter(call: AbortSignal, tokens: number): void {
    if (this.#maxWaitingTokens < Infinity) this.#refuseBeyondTheLimit(tokens);
    this.#calls.set(call, tokens);
    this.#expectedTokens += tokens;
  }

  /** From here on the batches of the call count, which are in the passes, and `rest` of what it has not begun. */
  tokenized(call: AbortSignal, rest = 0): void {
    this.#expectedTokens += rest - this.#calls.get(call)!;
    this.#calls.set(call, rest);
  }

  leave(call: AbortSignal): void {
    this.tokenized(call);
    this.#calls.delete(call);
  }

  #refuseBeyondTheLimit(tokens: number): void {
    const { waitingCalls, waitingTokens } = this.info();
    if (waitingTokens === 0 || waitingTokens + tokens <= this.#maxWaitingTokens) return;
    throw new PadlessError(
      'E_OVERLOADED',
      `${waitingCalls} calls with about ${waitingTokens} tokens wait for the model, this one has about ${tokens}, ` +
        `and maxWaitingTokens is ${this.#maxWaitingTokens}. Try again later, send fewer texts at once, ` +
        'or raise the limit.',
      { field: 'maxWaitingTokens' },
    );
  }
}
