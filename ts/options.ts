import { PadlessError } from './errors';

/** A check of one option's value: returns the value or throws through `fail`. */
export type Check<T> = (value: unknown, fail: (expected: string) => never) => T;

type Shape = Record<string, Check<unknown>>;
type Checked<S extends Shape> = { [K in keyof S]?: Exclude<ReturnType<S[K]>, undefined> };

/** Levenshtein distance, for "did you mean". */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitution, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}

/** The allowed word nearest to `word`, if it is near enough to be a typo. */
export function nearest(word: string, allowed: readonly string[]): string | undefined {
  const ranked = allowed
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best && best.distance <= Math.max(2, Math.floor(word.length / 3)) ? best.candidate : undefined;
}

/**
 * Validates an options object once, at the edge: unknown keys are refused with the nearest known one, and each
 * value passes its check. `undefined` values count as absent.
 */
export function checkOptions<S extends Shape>(where: string, options: unknown, shape: S): Checked<S> {
  if (options === undefined) return {};
  if (options === null || typeof options !== 'object' || Array.isArray(options)) {
    throw new PadlessError('E_INVALID_ARGUMENT', `${where}: options must be an object.`, {
      field: 'options',
    });
  }
  const checked: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(options)) {
    const check = Object.hasOwn(shape, key) ? shape[key] : undefined;
    if (!check) {
      const guess = nearest(key, Object.keys(shape));
      throw new PadlessError(
        'E_INVALID_ARGUMENT',
        guess
          ? `${where}: Misspelled option "${key}" should be "${guess}".`
          : `${where}: Unknown option "${key}"; it knows ${Object.keys(shape).join(', ')}.`,
        { field: key },
      );
    }
    if (value === undefined) continue;
    checked[key] = check(value, (expected) => {
      throw new PadlessError('E_INVALID_ARGUMENT', `${where}: option "${key}" must be ${expected}.`, {
        field: key,
      });
    });
  }
  return checked as Checked<S>;
}

export const string: Check<string> = (value, fail) => (typeof value === 'string' ? value : fail('a string'));

export const boolean: Check<boolean> = (value, fail) =>
  typeof value === 'boolean' ? value : fail('true or false');

export const stringList: Check<readonly string[]> = (value, fail) =>
  Array.isArray(value) && value.every((item) => typeof item === 'string')
    ? value
    : fail('an array of strings');

/** An integer within [low, high]. */
export function integer(low: number, high = Number.MAX_SAFE_INTEGER): Check<number> {
  return (value, fail) =>
    Number.isSafeInteger(value) && (value as number) >= low && (value as number) <= high
      ? (value as number)
      : fail(
          high === Number.MAX_SAFE_INTEGER
            ? `an integer of at least ${low}`
            : `an integer from ${low} to ${high}`,
        );
}

/** One of the given words. */
export function oneOf<const W extends string>(words: readonly W[]): Check<W> {
  return (value, fail) =>
    words.includes(value as W) ? (value as W) : fail(`one of ${words.map((word) => `"${word}"`).join(', ')}`);
}

/** Not `instanceof`: signals of another realm count too. */
export const abortSignal: Check<AbortSignal> = (value, fail) => {
  const signal = value as Partial<AbortSignal> | null;
  return typeof signal === 'object' &&
    typeof signal?.aborted === 'boolean' &&
    typeof signal.addEventListener === 'function'
    ? (signal as AbortSignal)
    : fail('an AbortSignal');
};

// eslint-disable-next-line @typescript-eslint/no-explicit-any
export const callback: Check<(...args: any[]) => void> = (value, fail) =>
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  typeof value === 'function' ? (value as (...args: any[]) => void) : fail('a function');
