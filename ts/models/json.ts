import { PadlessError } from '../errors';

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

/** ", line L column C" of the position in V8's message; the end of the text if it ended too early. */
function place(text: string, message: string): string {
  const found = /position (\d+)/.exec(message)?.[1];
  if (found === undefined && !/end of JSON/i.test(message)) return '';
  const before = text.slice(0, found === undefined ? text.length : Number(found)).split('\n');
  return `, line ${before.length} column ${before.at(-1)!.length + 1}`;
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
  const plain = withoutNonFinite(text);
  try {
    return JSON.parse(plain);
  } catch (error) {
    const { message } = error as Error;
    throw fail(`${place(plain, message)} is not JSON: ${message}`, error);
  }
}
