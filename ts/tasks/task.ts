import { tokenBatches, type TokenBatch } from '../batching/batches';
import { defaultBatchTokens } from '../batching/budget';
import { CallQueue, expectedTokens, type QueueInfo } from '../batching/call_queue';
import { tokenizeChunks } from '../batching/chunks';
import { pipelined } from '../batching/pipeline';
import { SharedPasses, type PassOptions } from '../batching/shared_passes';
import { Encoder, type EncoderLoadOptions } from '../encoder';
import { PadlessError, throwIfAborted } from '../errors';
import type { ModelDescription } from '../models/description';
import { textLimit } from '../models/spec';
import { boolean, integer } from '../options';
import { withSignals } from '../signals';
import type { TokenizedChunk } from '../tokenizer/protocol';
import { Tokenizer, type EncodeOptions } from '../tokenizer/tokenizer';

/** Forward passes handed to the device at once, of a call and of all: one runs, the next waits on its queue. */
const BATCHES_IN_FLIGHT = 2;

/** The two halves of a loaded model. */
export interface Model {
  encoder: Encoder;
  tokenizer: Tokenizer;
  /** As in {@link QueueOptions}. */
  joinCalls?: boolean | undefined;
  maxWaitingTokens?: number | undefined;
}

/** Options of every task's `load`: what becomes of calls that wait for the model. */
export interface QueueOptions {
  /**
   * Run texts of calls that wait for the model in one forward pass if their options are equal (dynamic batching); true
   * by default. Nothing waits while the model is idle. Which texts share a pass is then a matter of time, which shows
   * in the last bits where these depend on the batch: see `determinism` of `device`.
   */
  joinCalls?: boolean;
  /**
   * Refuse a call with E_OVERLOADED, before anything is done for it, if with it more tokens would wait than so many, as
   * {@link QueueInfo} counts them; a call that finds nothing waiting is always let in. Unlimited by default, for
   * programs that make all of their calls at once; a service sets what its clients would wait for.
   */
  maxWaitingTokens?: number;
}

/** The checks of {@link QueueOptions}. */
export const queueOptions = { joinCalls: boolean, maxWaitingTokens: integer(1) };

/** The columns of the logits that a task needs, where the tokenizer tells. */
export type LogitColumns = (tokenizer: Tokenizer) => Promise<readonly number[]>;

/** Loads the encoder and the tokenizer of a directory that has been described; both or none. */
export async function loadModel(
  description: ModelDescription,
  options: EncoderLoadOptions,
  columns?: LogitColumns,
): Promise<Model> {
  const { directory, spec, pipeline } = description;
  const folder = pipeline?.encoderDirectory
    ? await directory.subdirectory(pipeline.encoderDirectory)
    : directory;
  const reading = Tokenizer.load(folder, {
    maxLength: textLimit(spec, pipeline?.maxSeqLength),
    lowerCase: pipeline?.doLowerCase,
    isOwnLimit: pipeline?.maxSeqLength !== undefined,
    model: { vocabSize: spec.vocabSize, padId: spec.positions.padId, tokenTypes: spec.tokenTypes },
    signal: options.signal,
  });
  const loading = columns
    ? reading.then(columns).then((logits) => Encoder.fromDescription(description, { ...options, logits }))
    : Encoder.fromDescription(description, options);
  const [encoder, tokenizer] = await Promise.allSettled([loading, reading]);
  if (encoder.status === 'fulfilled' && tokenizer.status === 'fulfilled') {
    return { encoder: encoder.value, tokenizer: tokenizer.value };
  }
  if (encoder.status === 'fulfilled') encoder.value.dispose();
  if (tokenizer.status === 'fulfilled') await tokenizer.value.dispose();
  throw encoder.status === 'rejected' ? encoder.reason : (tokenizer as PromiseRejectedResult).reason;
}

/** One call of a task while it runs. */
export interface Call {
  /** Fires when the caller's signal does, when the task is disposed, and at the first failure. */
  signal: AbortSignal;
  /** Stops what else runs for the call. */
  abort: (reason: unknown) => void;
}

/** What a call does with each batch of its texts. */
export interface Passes<R> {
  /** Most tokens of one forward pass; the device's own number otherwise. */
  batchTokens?: number | undefined;
  /** What is done to the tokenizer's sequences before they are packed. */
  sequences?: (chunks: AsyncIterable<TokenizedChunk>) => AsyncIterable<TokenizedChunk>;
  start: (batch: TokenBatch, pass: PassOptions) => Promise<R>;
  /** Called with each batch's result, in order. */
  finish: (result: R) => Promise<void>;
}

/** Texts of a call that are read in one way. */
export interface TextList<R> {
  texts: readonly string[];
  encode: EncodeOptions;
  passes: Passes<R>;
}

/** What every task is made of: a model, calls that run on it, and their end when it is disposed. */
export abstract class Task implements Disposable, AsyncDisposable {
  protected readonly encoder: Encoder;
  protected readonly tokenizer: Tokenizer;
  /** Where batches of all calls whose results are rows meet. */
  protected readonly passes: SharedPasses;
  readonly #queue: CallQueue;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  /** @internal */
  protected constructor({ encoder, tokenizer, joinCalls = true, maxWaitingTokens = Infinity }: Model) {
    this.encoder = encoder;
    this.tokenizer = tokenizer;
    this.passes = new SharedPasses((batch, options) => encoder.run(batch, options), {
      depth: BATCHES_IN_FLIGHT,
      join: joinCalls,
    });
    this.#queue = new CallQueue(this.passes, maxWaitingTokens);
  }

  /** Most tokens of one sequence, special tokens included. */
  get maxLength(): number {
    return this.tokenizer.maxLength;
  }

  /** What waits for this model and what it runs at this moment, for health checks and metrics: costs microseconds. */
  queueInfo(): QueueInfo {
    return this.#queue.info();
  }

  /** Frees the model. Pending calls reject with E_DISPOSED, and so do later ones. */
  dispose(): void {
    void this[Symbol.asyncDispose]();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** As `dispose`; resolves when everything is freed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async #close(): Promise<void> {
    const { name } = this.constructor;
    this.#closing.abort(new PadlessError('E_DISPOSED', `The ${name} is disposed.`, { field: name }));
    await Promise.allSettled(this.#running);
    await this.passes.settled();
    this.encoder.dispose();
    await this.tokenizer.dispose();
  }

  /** Runs `work` unless the task is disposed or the caller's signal has fired, and until one of these happens. */
  protected async whileOpen<T>(
    callerSignal: AbortSignal | undefined,
    work: (call: Call) => Promise<T>,
  ): Promise<T> {
    throwIfAborted(callerSignal);
    const closing = this.#closing.signal;
    if (closing.aborted) throw closing.reason;
    const running = withSignals([callerSignal, closing], (signal, abort) => work({ signal, abort }));
    this.#running.add(running);
    try {
      return await running;
    } catch (error) {
      // A signal that failed the call is told apart from the stop that a failure sends to other batches.
      if (callerSignal?.aborted) throwIfAborted(callerSignal);
      throw closing.aborted ? closing.reason : error;
    } finally {
      this.#running.delete(running);
    }
  }

  /** Tokenizes texts, packs the sequences into batches and runs these, all at the same time and in order. */
  protected async forward<R>(
    texts: readonly string[],
    encode: EncodeOptions,
    passes: Passes<R>,
    call: Call,
  ): Promise<void> {
    await this.forwardAll([{ texts, encode, passes }], call);
  }

  /** The same for several lists of texts, one after the other: the queue lets all of them in, or none. */
  protected async forwardAll<R>(lists: readonly TextList<R>[], { signal, abort }: Call): Promise<void> {
    const expected = lists.map((list) => this.#expected(list));
    let rest = expected.reduce((sum, tokens) => sum + tokens, 0);
    this.#queue.enter(signal, rest);
    try {
      for (const [i, { texts, encode, passes }] of lists.entries()) {
        rest -= expected[i]!;
        const { batchTokens = this.#batchTokens, sequences, start, finish } = passes;
        const read = tokenizeChunks(this.tokenizer, texts, { ...encode, signal });
        const chunks = sequences ? sequences(read) : read;
        await pipelined(tokenBatches(chunks, batchTokens), {
          depth: BATCHES_IN_FLIGHT,
          start: (batch) => {
            this.#queue.tokenized(signal, rest);
            return start(batch, { batchTokens, signal });
          },
          finish,
          cancel: abort,
        });
      }
    } finally {
      this.#queue.leave(signal);
    }
  }

  get #batchTokens(): number {
    return defaultBatchTokens(this.encoder.device);
  }

  #expected<R>({ texts, encode, passes: { batchTokens = this.#batchTokens } }: TextList<R>): number {
    const limit = Math.min(encode.maxLength ?? Infinity, this.tokenizer.maxLength);
    return expectedTokens(texts, encode, limit, BATCHES_IN_FLIGHT * batchTokens);
  }
}
