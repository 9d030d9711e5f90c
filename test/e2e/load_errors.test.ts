// What people hand to load that is no model directory, or not yet one.
import { cpSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { Embedder } from '../../ts/tasks/embedder';
import { expectError } from '../support/errors';
import { readGolden } from '../support/goldens';
import { scratchDirectory } from '../support/scratch';

const scratch = scratchDirectory();
const POINTER = 'version https://git-lfs.github.com/spec/v1\noid sha256:6a\nsize 90868376\n';
const load = (path: unknown) => Embedder.load(path as string, { pooling: 'mean' });

/** A copy of a good model. */
function copy(name: string): string {
  cpSync(readGolden('bert').checkpoint, join(scratch, name), { recursive: true });
  return join(scratch, name);
}

test.each([undefined, null, 5, {}, new URL('file:///models/minilm')])('%p instead of a path', (path) =>
  expectError(() => load(path), { code: 'E_INVALID_ARGUMENT', field: 'path', words: 'a string' }),
);

test('an empty path', () => expectError(() => load(''), { code: 'E_INVALID_ARGUMENT', field: 'path' }));

test("a model's name on the hub", () =>
  expectError(() => load('sentence-transformers/all-MiniLM-L6-v2'), {
    code: 'E_NOT_FOUND',
    words: 'padless pull sentence-transformers/all-MiniLM-L6-v2',
  }));

test.each([
  ['model.safetensors', 'E_BAD_WEIGHTS'],
  ['tokenizer.json', 'E_BAD_TOKENIZER'],
] as const)('%s that git clone left as a pointer', async (file, code) => {
  const directory = copy(`pointer-${file}`);
  writeFileSync(join(directory, file), POINTER);
  await expectError(() => load(directory), { code, field: file, words: 'git lfs pull' });
});

test('a tokenizer.json that ends early', async () => {
  const directory = copy('cut');
  truncateSync(join(directory, 'tokenizer.json'), 5000);
  await expectError(() => load(directory), {
    code: 'E_BAD_TOKENIZER',
    field: 'tokenizer.json',
    words: 'tokenizer.json: EOF while parsing',
  });
});
