import type { HeadLoadOptions } from '../tasks/head_task';
import { computeOptions, type ComputeFlags } from './compute_flags';

/** Flags of the commands on task heads. */
export interface HeadFlags extends ComputeFlags {
  model: string;
  file?: string;
  truncate?: boolean;
  batchTokens?: number;
  json?: boolean;
}

/** What such a command loads its task with. */
export function headLoadOptions(flags: HeadFlags, signal: AbortSignal): HeadLoadOptions {
  const { truncate } = flags;
  return { ...computeOptions(flags), ...(truncate !== undefined && { truncate }), signal };
}

/** The options that every call of a task takes. */
export function callOptions(
  { batchTokens }: HeadFlags,
  signal: AbortSignal,
): { batchTokens?: number; signal: AbortSignal } {
  return { ...(batchTokens !== undefined && { batchTokens }), signal };
}

/** Prints a result as JSON, one line an element. */
export function printJson(results: readonly object[]): void {
  const lines = results.map((result) => `${JSON.stringify(result)}`).join(',\n');
  process.stdout.write(`[\n${lines}\n]\n`);
}
