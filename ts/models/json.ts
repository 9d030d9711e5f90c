import { PadlessError } from '../errors';
import { jsonErrorOffset } from './json_position';

/** Quotes and escapes, to know where strings are, and what Python's json writes for non-finite numbers. */
const QUOTE_OR_NON_FINITE = /\\.|"|-?\bInfinity\b|\bNaN\b/gs;

/**
 * Python's NaN, Infinity and -Infinity as numbers that JSON has: beyond the largest double, so they parse to
 * infinities. Whoever uses such a field refuses it as not finite; fields that nobody uses do no harm.
 */
function withoutNonFinite(text: string): string {
  if (!/NaN|Infinity/.test(text)) return text;
  let inString = false;
  return text.replace(QUOTE_OR_NON_FINITE, (token) => {
    if (token === '"') inString = !inString;
    if (inString || token === '"' || token.startsWith('\\')) return token;
    return token.startsWith('-') ? '-1e999' : '1e999';
  });
}

/** No file of a model comes near; what shows or compares values calls itself once a level. */
const MAX_DEPTH = 200;

function isDeep(value: unknown): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return true;
    level = level.flatMap((each) =>
      typeof each === 'object' && each !== null ? (Object.values(each) as unknown[]) : [],
    );
  }
  return false;
}

/** "line L column C" of the first error in `text`. */
function place(text: string): string {
  const lines = text.slice(0, jsonErrorOffset(text)).split('\n');
  return `line ${lines.length} column ${lines.at(-1)!.length + 1}`;
}

/**
 * Parses the bytes of a JSON file, with a byte order mark or Python's non-finite numbers if need be.
 *
 * @throws PadlessError E_BAD_CONFIG naming the file and the position.
 */
export function parseJson(bytes: Uint8Array, file: string): unknown {
  const fail = (message: string, cause: unknown) =>
    new PadlessError('E_BAD_CONFIG', `${file}${message}. Download or export it again.`, {
      field: file,
      cause,
    });
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw fail(' is not UTF-8', error);
  }
  let value: unknown;
  try {
    value = JSON.parse(withoutNonFinite(text));
  } catch (error) {
    throw fail(`, ${place(text)}: this is not JSON`, error);
  }
  if (isDeep(value)) throw fail(` nests values more than ${MAX_DEPTH} levels deep`, undefined);
  return value;
}
