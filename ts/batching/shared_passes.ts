import { PadlessError, abortError, throwIfAborted, type ErrorCode } from '../errors';
import type { PackedBatch } from '../packed';
import type { EncoderResult, RunOptions } from '../run';
import { onAbort } from '../signals';
import { joinBatches, packed, type TokenBatch } from './batches';
import { joinRequests, keyOf, shareOut, tokensOf, type PassRequest, type Requested } from './joined_requests';
import { sliced } from './slices';

/** What a call says about the passes that its batches are in. */
export interface PassOptions {
  /** Most tokens of one pass, unless a single sequence has more. */
  batchTokens: number;
  signal: AbortSignal;
}

/** How {@link SharedPasses} runs. */
export interface SharedPassesOptions {
  /** Most passes handed to the device at once. */
  depth: number;
  /** Whether batches of different calls share passes; otherwise each is a pass of its own. */
  join: boolean;
}

/** What waits and runs. */
export interface PassLoad {
  waitingTokens: number;
  runningTokens: number;
  /** Calls with a batch in a pass that runs. */
  runningCalls: number;
}

type Run = (batch: PackedBatch, options: RunOptions) => Promise<EncoderResult>;

/** A batch of one call, from its arrival to its results. */
interface Member extends Requested {
  batchTokens: number;
  /** Equal for batches that may share a pass; undefined for one that shares none. */
  key: string | undefined;
  /** Of the call. */
  signal: AbortSignal;
  /** The call has been aborted. */
  left: boolean;
  /** The pass that it is in. */
  pass?: { members: readonly Member[]; controller: AbortController };
  resolve: (share: EncoderResult) => void;
  reject: (error: unknown) => void;
}

/** Failures that may be the fault of one batch, or of the size of all together. */
const TRIED_APART: readonly ErrorCode[] = ['E_OUT_OF_MEMORY', 'E_INVALID_ARGUMENT', 'E_TOO_LONG'];

const isHalfAPass = (tokens: number, { batchTokens }: Member) => 2 * tokens >= batchTokens;

/** Half a pass gains nothing from company, which would only wait for it. */
const mayShare = (member: Member) => member.key !== undefined && !isHalfAPass(tokensOf(member), member);

/**
 * Dynamic batching: batches that wait while a pass of the model runs are joined into the next one, up to its tokens,
 * if their options are equal. First come, first served; one that finds nothing running starts at once.
 */
export class SharedPasses {
  readonly #run: Run;
  readonly #options: SharedPassesOptions;
  /** In the order of their arrival. */
  readonly #waiting = new Set<Member>();
  /** Members of passes that failed, which go first. */
  readonly #apart = new Set<Member>();
  /** Tokens of both. */
  #waitingTokens = 0;
  readonly #passes = new Set<Promise<void>>();
  /** The members of each pass that the device has. */
  readonly #running = new Set<readonly Member[]>();

  constructor(run: Run, options: SharedPassesOptions) {
    this.#run = run;
    this.#options = options;
  }

  /** What is wanted of a batch. Rejects with E_ABORTED as soon as the signal fires. */
  async run(
    batch: TokenBatch,
    request: PassRequest,
    { batchTokens, signal }: PassOptions,
  ): Promise<EncoderResult> {
    throwIfAborted(signal);
    const key = this.#options.join ? keyOf(request, batchTokens) : undefined;
    let unhook: () => void;
    const share = new Promise<EncoderResult>((resolve, reject) => {
      const member: Member = { batch, request, batchTokens, key, signal, left: false, resolve, reject };
      unhook = onAbort(signal, () => this.#leave(member, abortError(signal)));
      this.#enqueue(this.#waiting, member);
      this.#start();
    });
    return share.finally(() => unhook());
  }

  /** What waits and runs; a call may have several batches. */
  load(): PassLoad {
    const members = [...this.#running].flat();
    return {
      waitingTokens: this.#waitingTokens,
      runningTokens: members.reduce((sum, member) => sum + tokensOf(member), 0),
      runningCalls: new Set(members.filter(({ left }) => !left).map(({ signal }) => signal)).size,
    };
  }

  /** Resolves when nothing runs that was running at the call. */
  async settled(): Promise<void> {
    await Promise.all(this.#passes);
  }

  #enqueue(queue: Set<Member>, member: Member): void {
    queue.add(member);
    this.#waitingTokens += tokensOf(member);
  }

  #dequeue(member: Member): void {
    if (this.#waiting.delete(member) || this.#apart.delete(member)) this.#waitingTokens -= tokensOf(member);
  }

  /** A pass goes on for the members that stay, and stops when none does. */
  #leave(member: Member, error: PadlessError): void {
    member.left = true;
    member.reject(error);
    this.#dequeue(member);
    if (member.pass?.members.every(({ left }) => left)) member.pass.controller.abort(error);
  }

  #start(): void {
    while (this.#running.size < this.#options.depth) {
      const members = this.#next();
      const [first] = members;
      if (!first) return;
      // What may still grow is not queued behind a pass that runs: it grows until that one is done.
      const tokens = members.reduce((sum, member) => sum + tokensOf(member), 0);
      if (this.#running.size > 0 && first.key !== undefined && !isHalfAPass(tokens, first)) return;
      for (const member of members) this.#dequeue(member);
      const pass = this.#pass(members);
      this.#passes.add(pass);
      void pass.then(() => this.#passes.delete(pass));
    }
  }

  /** The batch whose turn it is, with those that join it. */
  #next(): Member[] {
    const [first] = this.#apart.size > 0 ? this.#apart : this.#waiting;
    if (!first) return [];
    const members = [first];
    if (!mayShare(first)) return members;
    let tokens = tokensOf(first);
    for (const other of this.#waiting) {
      if (other === first || other.key !== first.key || !mayShare(other)) continue;
      tokens += tokensOf(other);
      if (tokens > first.batchTokens) break;
      members.push(other);
    }
    return members;
  }

  /** Never rejects. */
  async #pass(members: readonly Member[]): Promise<void> {
    try {
      await sliced(shareOut(members, await this.#compute(members)));
    } catch (error) {
      this.#fail(members, error);
    }
    this.#start();
  }

  async #compute(members: readonly Member[]): Promise<EncoderResult> {
    const controller = new AbortController();
    for (const member of members) member.pass = { members, controller };
    this.#running.add(members);
    try {
      const batch = members.length === 1 ? members[0]!.batch : joinBatches(members.map((m) => m.batch));
      return await this.#run(packed(batch), { ...joinRequests(members), signal: controller.signal });
    } finally {
      this.#running.delete(members);
      this.#start();
    }
  }

  #fail(members: readonly Member[], error: unknown): void {
    const apart = members.length > 1 && error instanceof PadlessError && TRIED_APART.includes(error.code);
    for (const member of members) {
      if (!apart) member.reject(error);
      else if (!member.left) {
        member.key = undefined;
        this.#enqueue(this.#apart, member);
      }
    }
  }
}
