import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { PadlessError, throwIfAborted } from '../errors';
import { orPointer } from '../io/lfs_pointer';
import { abortable } from '../signals';
import type {
  Cancellation,
  CutTooShortReply,
  DecodeRequest,
  DecodedReply,
  EncodeRequest,
  EncodedReply,
  FailureReply,
  PrefixLengthReply,
  PrefixLengthRequest,
  TokenIdsReply,
  TokenIdsRequest,
  TokenizerReady,
  TokenizerReply,
  TokenizerSetup,
  TooLong,
} from './protocol';

// The compiled file, also when this module runs from source under a test's transform.
const WORKER_FILE = join(__dirname, '../../dist/tokenizer/worker.js');

/** A text beyond the limit, on its way to the caller who knows what the index is relative to. */
export class TooLongFailure extends Error {
  constructor(readonly where: TooLong) {
    super(`${where.tokens} tokens`);
  }
}

function failure(reply: FailureReply, file: string): Error {
  if (reply.tooLong) return new TooLongFailure(reply.tooLong);
  return new PadlessError(reply.code, `${file}: ${reply.message}`, { field: 'tokenizer.json' });
}

interface Waiting {
  resolve: (reply: never) => void;
  reject: (error: unknown) => void;
}

type Unsent<T> = Omit<T, 'id'>;
type MaybeSignal = AbortSignal | undefined;

/** A worker thread that holds one tokenizer.json. It keeps the process alive only while a request waits. */
export class TokenizerThread {
  readonly #worker: Worker;
  readonly #file: string;
  readonly #waiting = new Map<number | 'ready', Waiting>();
  readonly #loaded: Promise<TokenizerReady>;
  #nextId = 0;
  #failed: Error | undefined;

  constructor(setup: TokenizerSetup) {
    this.#file = setup.file;
    this.#worker = new Worker(WORKER_FILE, { workerData: setup, name: 'padless-tokenizer', execArgv: [] });
    this.#worker.on('message', (reply: TokenizerReply) => this.#settle(reply));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(undefined));
    this.#loaded = this.#wait<TokenizerReady>('ready');
    this.#loaded.catch(() => {});
  }

  get loaded(): Promise<TokenizerReady> {
    return this.#loaded;
  }

  /** It cannot answer any more: ended by an error, or closed. */
  get ended(): boolean {
    return this.#failed !== undefined;
  }

  /** Each request is given up when `signal` fires: what it has not begun is not done. */
  encode(request: Unsent<EncodeRequest>, signal: MaybeSignal): Promise<EncodedReply | CutTooShortReply> {
    return this.#request(request, signal);
  }

  prefixLength(request: Unsent<PrefixLengthRequest>, signal: MaybeSignal): Promise<PrefixLengthReply> {
    return this.#request<PrefixLengthReply>(request, signal);
  }

  decode(request: Unsent<DecodeRequest>, signal: MaybeSignal): Promise<DecodedReply> {
    return this.#request<DecodedReply>(request, signal);
  }

  tokenIds(request: Unsent<TokenIdsRequest>, signal: MaybeSignal): Promise<TokenIdsReply> {
    return this.#request<TokenIdsReply>(request, signal);
  }

  /** Ends the thread once what it runs is done, and frees the tokenizer. */
  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  async #request<R>(
    request:
      Unsent<EncodeRequest> | Unsent<PrefixLengthRequest> | Unsent<DecodeRequest> | Unsent<TokenIdsRequest>,
    signal: MaybeSignal,
  ): Promise<R> {
    if (this.#failed) throw this.#failed;
    throwIfAborted(signal);
    const id = this.#nextId++;
    this.#worker.postMessage({ ...request, id });
    try {
      return await abortable(this.#wait<R>(id), signal);
    } finally {
      if (this.#waiting.has(id)) this.#worker.postMessage({ kind: 'cancel', id } satisfies Cancellation);
    }
  }

  #wait<R>(id: number | 'ready'): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.ref();
    });
  }

  #settle(reply: TokenizerReply): void {
    const id = reply.kind === 'ready' ? 'ready' : (reply.id ?? 'ready');
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (reply.kind === 'failed') waiting?.reject(failure(reply, this.#file));
    else waiting?.resolve(reply as never);
  }

  #fail(cause: Error | undefined): void {
    this.#failed ??= new PadlessError(
      'E_INTERNAL',
      `The tokenizer thread has ended${cause ? `: ${cause.message}` : ''}; load the model again.`,
      { cause },
    );
    for (const { reject } of this.#waiting.values()) reject(this.#failed);
    this.#waiting.clear();
  }
}

interface Shared {
  thread: TokenizerThread;
  users: number;
}

const shared = new Map<string, Shared>();

/** A thread in use, until `release`. */
export interface ThreadLease {
  thread: TokenizerThread;
  ready: TokenizerReady;
  release(): Promise<void>;
}

/** The thread for `setup`, shared with everyone who loaded the same file the same way. */
export async function leaseThread(
  setup: TokenizerSetup,
  signal: AbortSignal | undefined,
): Promise<ThreadLease> {
  const { dev, ino, size, mtimeMs } = await stat(setup.file);
  const key = JSON.stringify([dev, ino, size, mtimeMs, setup]);
  const known = shared.get(key);
  const entry = known && !known.thread.ended ? known : { thread: new TokenizerThread(setup), users: 0 };
  shared.set(key, entry);
  entry.users++;
  let released = false;
  const release = async () => {
    if (released) return;
    released = true;
    if (--entry.users > 0) return;
    if (shared.get(key) === entry) shared.delete(key);
    await entry.thread.close();
  };
  try {
    return { thread: entry.thread, ready: await abortable(entry.thread.loaded, signal), release };
  } catch (error) {
    void release();
    throw await orPointer(error, setup.file);
  }
}
