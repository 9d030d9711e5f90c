// Complete sentence-transformers directories from the small files of test/goldens/chains.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { readF64 } from './goldens';

const goldens = join(__dirname, '../goldens');

export interface ChainInput {
  text: string;
  promptName: string | null;
  ids: number[];
  skip: number;
}

export interface Chain {
  directory: string;
  inputs: ChainInput[];
  expected: { shape: number[]; data: Float64Array };
}

export const chainNames: readonly string[] = readdirSync(join(goldens, 'chains'));

/** A folder that `dispose` removes. */
export function temporaryFolder(): { path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), 'padless-test-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Lays the directory of a chain out in `folder`. */
export function layOut(name: string, folder: string): Chain {
  const source = join(goldens, 'chains', name);
  const { base, basePath, inputs } = JSON.parse(readFileSync(join(source, 'case.json'), 'utf8')) as {
    base: string;
    basePath: string;
    inputs: ChainInput[];
  };
  const directory = join(folder, name);
  mkdirSync(join(directory, basePath), { recursive: true });
  cpSync(join(goldens, 'models', base, 'checkpoint'), join(directory, basePath), { recursive: true });
  cpSync(join(source, 'files'), directory, { recursive: true });
  return {
    directory,
    inputs,
    expected: readF64(join(source, 'expected.safetensors')).get('sentence_embedding')!,
  };
}
