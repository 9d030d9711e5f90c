import { CommanderError } from 'commander';
import { PadlessError } from '../errors';

/** Ended by Ctrl-C: 128 + SIGINT. */
export const INTERRUPTED = 130;
const WRONG_USAGE = 2;

/** 2 for what the user has to give in another way, whoever finds it: commander, a command or the library. */
export function exitCodeOf(error: unknown, signal: AbortSignal): number {
  if (signal.aborted) return INTERRUPTED;
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_USAGE;
  return error instanceof PadlessError && error.code === 'E_INVALID_ARGUMENT' ? WRONG_USAGE : 1;
}

/** `error E_CODE: text` on standard error. */
export function report(error: unknown, debug: boolean): void {
  const known = error instanceof PadlessError;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`error ${known ? error.code : 'E_INTERNAL'}: ${message}\n`);
  if (debug && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
}
