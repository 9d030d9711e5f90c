import { readFile } from 'node:fs/promises';
import { PadlessError } from '../errors';
import type { TokenizedChunk } from '../tokenizer/protocol';
import { utf8Decoder } from './utf8';

/** Token ids of some sequences, and their token types. */
export interface IdsFile {
  sequences: Int32Array[];
  tokenTypes: Int32Array[] | undefined;
}

function bad(field: string, message: string): PadlessError {
  return new PadlessError('E_INVALID_ARGUMENT', `${field} ${message}`, { field });
}

function row(value: unknown, field: string, limit: number, what: string): Int32Array {
  if (!Array.isArray(value)) throw bad(field, 'must be an array of integers.');
  const wrong = value.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= limit);
  if (wrong >= 0) {
    throw bad(
      `${field}[${wrong}]`,
      `is ${JSON.stringify(value[wrong])}; it must be an integer from 0 to ${limit - 1} (${what}).`,
    );
  }
  return Int32Array.from(value as number[]);
}

/** What the ids of a file must stay within. */
export interface IdLimits {
  vocabSize: number;
  /** Rows of the token-type table. */
  tokenTypes: number;
  /** Longest sequence. */
  maxLength: number;
}

/**
 * Reads `{"sequences": [[ids], ...], "tokenTypes"?: [[...], ...]}`.
 *
 * @throws PadlessError E_NOT_FOUND, E_INVALID_ARGUMENT naming the sequence and the index, or E_TOO_LONG.
 */
export async function readIds(path: string, limits: IdLimits): Promise<IdsFile> {
  const bytes = await readFile(path).catch((cause: Error) => {
    throw new PadlessError('E_NOT_FOUND', `${path} cannot be read: ${cause.message}`, {
      field: '--input',
      cause,
    });
  });
  const decode = utf8Decoder(path, '--input');
  return parseIds(decode(bytes) + decode(), limits);
}

/** The checks of {@link readIds}. */
export function parseIds(text: string, limits: IdLimits): IdsFile {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch (error) {
    throw bad('--input', `is not JSON: ${(error as Error).message}`);
  }
  if (typeof file !== 'object' || file === null || Array.isArray(file))
    throw bad('--input', 'must hold an object.');
  const unknown = Object.keys(file).find((key) => key !== 'sequences' && key !== 'tokenTypes');
  if (unknown !== undefined) throw bad(unknown, 'is no key of this file; it has sequences and tokenTypes.');
  const { sequences: ids, tokenTypes: types } = file as Record<string, unknown>;
  if (!Array.isArray(ids)) throw bad('sequences', 'must be an array of arrays of integers.');
  const sequences = ids.map((value, i) =>
    row(value, `sequences[${i}]`, limits.vocabSize, "the model's vocabulary"),
  );
  const long = sequences.findIndex((sequence) => sequence.length > limits.maxLength);
  if (long >= 0) {
    throw new PadlessError(
      'E_TOO_LONG',
      `sequences[${long}] has ${sequences[long]!.length} tokens and the model has ${limits.maxLength} positions.`,
      { field: `sequences[${long}]` },
    );
  }
  if (types === undefined || types === null) return { sequences, tokenTypes: undefined };
  if (!Array.isArray(types) || types.length !== sequences.length) {
    throw bad('tokenTypes', `must be an array of ${sequences.length} arrays, one for each sequence.`);
  }
  const tokenTypes = types.map((value, i) => {
    const parsed = row(value, `tokenTypes[${i}]`, Math.max(1, limits.tokenTypes), "the model's token types");
    if (parsed.length === sequences[i]!.length) return parsed;
    throw bad(
      `tokenTypes[${i}]`,
      `has ${parsed.length} entries; sequences[${i}] has ${sequences[i]!.length}.`,
    );
  });
  return { sequences, tokenTypes };
}

/** One sequence at a time, for batching. */
export async function* asChunks({ sequences, tokenTypes }: IdsFile): AsyncGenerator<TokenizedChunk> {
  for (const [i, ids] of sequences.entries()) {
    yield { ids, tokenTypes: tokenTypes?.[i], lengths: Int32Array.of(ids.length) };
  }
}
