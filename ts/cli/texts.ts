import { createReadStream } from 'node:fs';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { createInterface } from 'node:readline';
import { PadlessError } from '../errors';

/** A file's content as a stream; `-` is standard input. */
async function open(path: string): Promise<Readable> {
  if (path === '-') return process.stdin;
  const input = createReadStream(path);
  await once(input, 'open').catch((cause: Error) => {
    throw new PadlessError('E_NOT_FOUND', `${path} cannot be read: ${cause.message}`, {
      field: '--file',
      cause,
    });
  });
  return input;
}

/** The whole of a file, or of standard input. */
export async function readWhole(path: string): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of await open(path)) parts.push(Buffer.from(part as Buffer));
  return Buffer.concat(parts).toString('utf8');
}

/**
 * The texts of a command: its words, then the lines of `file` that hold text.
 *
 * @throws PadlessError E_INVALID_ARGUMENT for none, E_NOT_FOUND.
 */
export async function readTexts(words: readonly string[], file: string | undefined): Promise<string[]> {
  const texts = [...words];
  if (file !== undefined) {
    for await (const line of createInterface({ input: await open(file), crlfDelay: Infinity })) {
      if (line.trim() !== '') texts.push(line);
    }
  }
  if (texts.length > 0) return texts;
  throw new PadlessError(
    'E_INVALID_ARGUMENT',
    'There is no text: give some, or --file with one text a line.',
    { field: 'texts' },
  );
}
