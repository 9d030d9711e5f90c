import { abortError, throwIfAborted } from './errors';

/** What waits for a signal, behind the one listener that it has for all of them. */
interface Waiting {
  callbacks: Set<() => void>;
  listener: () => void;
}

const waitingFor = new WeakMap<AbortSignal, Waiting>();

function listenTo(signal: AbortSignal): Waiting {
  const callbacks = new Set<() => void>();
  const listener = () => {
    waitingFor.delete(signal);
    for (const callback of callbacks) callback();
  };
  const waiting = { callbacks, listener };
  waitingFor.set(signal, waiting);
  signal.addEventListener('abort', listener, { once: true });
  return waiting;
}

/**
 * Calls `callback` when `signal` fires, unless the function that it returns has been called before. A signal has one
 * listener, however many calls share it: Node warns of a leak when there are more than ten.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const { callbacks, listener } = waitingFor.get(signal) ?? listenTo(signal);
  const own = () => callback();
  callbacks.add(own);
  return () => {
    callbacks.delete(own);
    if (callbacks.size > 0 || waitingFor.get(signal)?.listener !== listener) return;
    waitingFor.delete(signal);
    signal.removeEventListener('abort', listener);
  };
}

/** `promise`, or E_ABORTED as soon as `signal` fires; what the promise does afterwards is ignored. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  promise.catch(() => {});
  throwIfAborted(signal);
  let unhook: () => void;
  const aborted = new Promise<never>((_resolve, reject) => {
    unhook = onAbort(signal, () => reject(abortError(signal)));
  });
  return Promise.race([promise, aborted]).finally(() => unhook());
}

/**
 * Runs `work` with a signal that fires when any of `signals` does, and unhooks it afterwards: AbortSignal.any
 * keeps its results alive for as long as a source lives, which for a server's signal is forever.
 */
export async function withSignals<T>(
  signals: readonly (AbortSignal | undefined)[],
  work: (signal: AbortSignal, abort: (reason: unknown) => void) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const hooks: (() => void)[] = [];
  for (const signal of signals) {
    if (!signal) continue;
    const abort = () => controller.abort(signal.reason);
    if (signal.aborted) abort();
    else hooks.push(onAbort(signal, abort));
  }
  try {
    return await work(controller.signal, (reason) => controller.abort(reason));
  } finally {
    for (const unhook of hooks) unhook();
  }
}
