import { open as openFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createInterface } from 'node:readline';
import { PadlessError } from '../errors';

const BYTE_ORDER_MARK = /^\ufeff/;

/** A file's content as a stream; `-` is standard input. */
async function open(path: string): Promise<Readable> {
  if (path === '-') return process.stdin;
  const fail = (why: string, cause?: unknown) =>
    new PadlessError('E_NOT_FOUND', `${path} cannot be read: ${why}`, { field: '--file', cause });
  const file = await openFile(path).catch((cause: Error) => {
    throw fail(cause.message, cause);
  });
  if (!(await file.stat()).isDirectory()) return file.createReadStream();
  await file.close();
  throw fail('it is a directory.');
}

/** The whole of a file, or of standard input. */
export async function readWhole(path: string): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of await open(path)) parts.push(Buffer.from(part as Buffer));
  return Buffer.concat(parts).toString('utf8').replace(BYTE_ORDER_MARK, '');
}

/**
 * The texts of a command: its words, then the lines of `file` that hold text.
 *
 * @throws PadlessError E_INVALID_ARGUMENT for none, E_NOT_FOUND.
 */
export async function readTexts(words: readonly string[], file: string | undefined): Promise<string[]> {
  const texts = [...words];
  if (file !== undefined) {
    let isFirst = true;
    for await (const line of createInterface({ input: await open(file), crlfDelay: Infinity })) {
      const text = isFirst ? line.replace(BYTE_ORDER_MARK, '') : line;
      isFirst = false;
      if (text.trim() !== '') texts.push(text);
    }
  }
  if (texts.length > 0) return texts;
  throw new PadlessError(
    'E_INVALID_ARGUMENT',
    'There is no text: give some, or --file with one text a line.',
    { field: 'texts' },
  );
}
