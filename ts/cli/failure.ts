import { PadlessError } from '../errors';

/** Ended by Ctrl-C: 128 + SIGINT. */
export const INTERRUPTED = 130;

export function exitCodeOf(signal: AbortSignal): number {
  return signal.aborted ? INTERRUPTED : 1;
}

/** `error E_CODE: text` on standard error. */
export function report(error: unknown, debug: boolean): void {
  const known = error instanceof PadlessError;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`error ${known ? error.code : 'E_INTERNAL'}: ${message}\n`);
  if (debug && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
}
