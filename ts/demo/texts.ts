import { readFile, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { PadlessError } from '../errors';

/** A sentence, and the file it is from without `.txt`. */
export interface Sentence {
  topic: string;
  text: string;
}

/** The demo's text files, which hold a sentence a line. */
export const TEXT_FOLDER = join(__dirname, '../../demo');

export async function textFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((cause: Error) => {
    throw new PadlessError('E_NOT_FOUND', `The demo's texts are not in ${folder}: ${cause.message}`, {
      field: folder,
      cause,
    });
  });
  return names
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => join(folder, name));
}

export async function readSentences(files: readonly string[]): Promise<Sentence[]> {
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
  return texts.flatMap((text, i) =>
    text
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => ({ topic: basename(files[i]!, '.txt'), text: line.trim() })),
  );
}
