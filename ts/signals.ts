import { abortError, throwIfAborted } from './errors';

/** `promise`, or E_ABORTED as soon as `signal` fires; what the promise does afterwards is ignored. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  promise.catch(() => {});
  throwIfAborted(signal);
  let onAbort: () => void;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(abortError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
  });
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener('abort', onAbort));
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
    signal.addEventListener('abort', abort, { once: true });
    hooks.push(() => signal.removeEventListener('abort', abort));
  }
  try {
    return await work(controller.signal, (reason) => controller.abort(reason));
  } finally {
    for (const unhook of hooks) unhook();
  }
}
