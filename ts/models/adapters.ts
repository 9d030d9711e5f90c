import { PadlessError } from '../errors';
import { nearest } from '../options';
import type { EncoderSpec } from './spec';

/** The number of a task's adapter; E_INVALID_ARGUMENT, naming `field`, for a task that the checkpoint lacks. */
export function adapterOf({ adapters }: EncoderSpec, task: string, field = 'adapter'): number {
  const names = adapters?.names ?? [];
  const index = names.indexOf(task);
  if (index >= 0) return index;
  const guess = nearest(task, names);
  throw new PadlessError(
    'E_INVALID_ARGUMENT',
    names.length === 0
      ? `The checkpoint has no task adapters, so there is none for "${task}".`
      : `The checkpoint has no adapter for "${task}"; it has ${names.map((name) => `"${name}"`).join(', ')}.` +
          (guess ? ` Did you mean "${guess}"?` : ''),
    { field },
  );
}
