import { open as openFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { PadlessError } from '../errors';
import { utf8Decoder } from './utf8';

const LINE_END = /\r\n|[\r\n\u2028\u2029]/;

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

/** What a file says, piece by piece. */
async function* read(path: string): AsyncGenerator<string> {
  const decode = utf8Decoder(path === '-' ? 'Standard input' : path, '--file');
  for await (const bytes of await open(path)) yield decode(bytes as Buffer);
  yield decode();
}

/** The whole of a file, or of standard input. */
export async function readWhole(path: string): Promise<string> {
  let text = '';
  for await (const piece of read(path)) text += piece;
  return text;
}

async function* linesOf(path: string): AsyncGenerator<string> {
  let line = '';
  let held = '';
  for await (const piece of read(path)) {
    const text = held + piece;
    // It may be the first half of a line's end.
    held = text.endsWith('\r') ? '\r' : '';
    const [first, ...others] = text.slice(0, text.length - held.length).split(LINE_END);
    line += first;
    for (const next of others) {
      yield line;
      line = next;
    }
  }
  yield line;
}

/**
 * The texts of a command: its words, then the lines of `file` that hold text.
 *
 * @throws PadlessError E_INVALID_ARGUMENT for none or for a file that is no text, E_NOT_FOUND.
 */
export async function readTexts(words: readonly string[], file: string | undefined): Promise<string[]> {
  const texts = [...words];
  if (file !== undefined) {
    for await (const line of linesOf(file)) if (line.trim() !== '') texts.push(line);
  }
  if (texts.length > 0) return texts;
  throw new PadlessError(
    'E_INVALID_ARGUMENT',
    'There is no text: give some, or --file with one text a line.',
    { field: 'texts' },
  );
}
