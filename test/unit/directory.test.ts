import { execFileSync } from 'node:child_process';
import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { encodeSafetensors } from '../../ts/io/safetensors';
import { jsonErrorOffset } from '../../ts/models/json_position';
import { ModelDirectory } from '../../ts/models/directory';
import { expectError } from '../support/errors';
import { scratchDirectory, writeTree } from '../support/scratch';

const scratch = realpathSync(scratchDirectory());
let count = 0;

/** A fresh directory with these files. */
const tree = (files: Parameters<typeof writeTree>[1]): string =>
  writeTree(join(scratch, String(count++)), files);

const tensors = (...names: string[]): Buffer =>
  encodeSafetensors(
    Object.fromEntries(names.map((name) => [name, { dtype: 'F32', shape: [1], data: Float32Array.of(1) }])),
  );

describe('open', () => {
  test('a missing directory', () =>
    expectError(() => ModelDirectory.open(join(scratch, 'absent')), {
      code: 'E_NOT_FOUND',
      words: 'does not exist',
    }));

  test('a file', async () => {
    const path = join(tree({ file: '' }), 'file');
    await expectError(() => ModelDirectory.open(path), {
      code: 'E_NOT_FOUND',
      field: path,
      words: 'not a directory',
    });
  });

  test('a path below a file', () =>
    expectError(() => ModelDirectory.open(join(tree({ file: '' }), 'file/x')), { code: 'E_NOT_FOUND' }));

  test('NUL', () => expectError(() => ModelDirectory.open('a\0b'), { code: 'E_NOT_FOUND' }));
});

describe('json', () => {
  const read = async (content: string | Uint8Array | object) =>
    (await ModelDirectory.open(tree({ 'config.json': content }))).json('config.json');

  test('an object', async () => expect(await read({ hidden_size: 96 })).toEqual({ hidden_size: 96 }));

  test('a byte order mark', async () => expect(await read('\ufeff{"a":1}')).toEqual({ a: 1 }));

  test("Python's non-finite numbers, outside strings only", async () =>
    expect(await read('{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN \\" Infinity", "NaN": 1}')).toEqual({
      a: Infinity,
      b: [-Infinity, Infinity],
      c: 'NaN " Infinity',
      NaN: 1,
    }));

  test('a missing file', async () => {
    const directory = await ModelDirectory.open(tree({}));
    await expectError(() => directory.json('config.json'), { code: 'E_NOT_FOUND', field: 'config.json' });
    expect(await directory.json('config.json', { optional: true })).toBeUndefined();
    expect(await directory.json('no/such/config.json', { optional: true })).toBeUndefined();
  });

  test.each<[string, string | Uint8Array, string]>([
    [
      'bad JSON, with its place',
      '{\n  "a": 1,\n  "b": oops\n}',
      'config.json, line 3 column 8: this is not JSON',
    ],
    ['JSON that is cut', '{\n "a": [1,', 'line 2 column 10: this is not JSON'],
    ['an empty file', '', 'line 1 column 1: this is not JSON'],
    ['a word that is not NaN', '{"a": NaNs}', 'line 1 column 7: this is not JSON'],
    ['an array', '[]', 'the top level must be an object'],
    ['null', 'null', 'the top level must be an object'],
    [
      'what nests too deeply to be shown',
      `{"auto_map": ${'['.repeat(1e5)}${']'.repeat(1e5)}}`,
      'levels deep',
    ],
    ['invalid UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), 'is not UTF-8'],
    ['33 MiB', ' '.repeat(33 * 2 ** 20), 'at most 33554432 are read'],
  ])('%s', (_name, content, words) =>
    expectError(() => read(content), { code: 'E_BAD_CONFIG', field: 'config.json', words }),
  );

  test('the place of an error', () => {
    const cut = '{"a": [1, {}, []], "b": {"c": "x"}, "d": 2}';
    for (let at = 0; at < cut.length; at++) expect(jsonErrorOffset(cut.slice(0, at))).toBe(at);
    const legal = '{"a": [-2.5e3, 0, 1E+2, true, null, -Infinity], "\\u00e9\\n\\"": false}';
    expect(jsonErrorOffset(legal)).toBe(legal.length);
    for (const [text, at] of [
      ['{"a" 1}', 5],
      ['{a: 1}', 1],
      ['{"a": 1,}', 8],
      ['[1,]', 3],
      ['[1 2]', 3],
      ['{"a": 01}', 6],
      ['["\\x"]', 2],
      ['["a\nb"]', 3],
      ['{} {}', 3],
      ['[}', 1],
      ["{'a': 1}", 1],
      ['[NaN, tru]', 6],
    ] as const) {
      expect([text, jsonErrorOffset(text)]).toEqual([text, at]);
    }
  });

  test('half a million brackets', () =>
    expectError(() => read('['.repeat(500_000)), { code: 'E_BAD_CONFIG' }));

  test('a folder in the place of the file', async () => {
    const directory = await ModelDirectory.open(tree({ 'config.json/x': '' }));
    await expectError(() => directory.json('config.json'), {
      code: 'E_BAD_CONFIG',
      words: 'not a regular file',
    });
  });

  test('a FIFO, without waiting for its writer', async () => {
    const root = tree({});
    execFileSync('mkfifo', [join(root, 'config.json')]);
    const directory = await ModelDirectory.open(root);
    await expectError(() => directory.json('config.json'), {
      code: 'E_BAD_CONFIG',
      words: 'not a regular file',
    });
  });

  test('arrays where arrays belong', async () => {
    const directory = await ModelDirectory.open(tree({ 'modules.json': [1], 'config.json': {} }));
    expect(await directory.jsonArray('modules.json')).toEqual([1]);
    expect(await directory.jsonArray('absent.json')).toBeUndefined();
    await expectError(() => directory.jsonArray('config.json'), {
      code: 'E_BAD_CONFIG',
      words: 'must be an array',
    });
  });
});

describe('resolve', () => {
  test.each([
    ['/etc/passwd', 'is absolute'],
    ['C:/x', 'is absolute'],
    ['../x', 'leads out'],
    ['a/../../x', 'leads out'],
    ['a\\..\\x', 'backslash'],
    ['a\0', 'NUL'],
    ['a//b', 'not a plain relative path'],
    ['./a', 'not a plain relative path'],
    ['', 'not a plain relative path'],
  ])('refuses %j', async (name, words) => {
    const directory = await ModelDirectory.open(tree({ 'a/b': '' }));
    await expectError(() => directory.resolve(name), { code: 'E_BAD_CONFIG', field: name, words });
    await expectError(() => directory.resolve(name, 'E_BAD_WEIGHTS'), { code: 'E_BAD_WEIGHTS', words });
  });

  test('a link inside the directory', async () => {
    const root = tree({ 'a/b': '' });
    symlinkSync('a/b', join(root, 'link'));
    expect(await (await ModelDirectory.open(root)).resolve('link')).toBe(join(root, 'a/b'));
  });

  test('a link out of the directory', async () => {
    const root = tree({ 'model/config.json': {}, 'secret.json': {}, 'model-2/x.json': {} });
    symlinkSync('../secret.json', join(root, 'model/link.json'));
    symlinkSync('/etc', join(root, 'model/etc'));
    symlinkSync('../model-2/x.json', join(root, 'model/neighbour.json'));
    const directory = await ModelDirectory.open(join(root, 'model'));
    for (const name of ['link.json', 'etc/passwd', 'neighbour.json']) {
      await expectError(() => directory.resolve(name), {
        code: 'E_BAD_CONFIG',
        field: name,
        words: 'leads out',
      });
      await expectError(() => directory.json(name, { optional: true }), { code: 'E_BAD_CONFIG' });
    }
  });

  test('a link to itself', async () => {
    const root = tree({});
    symlinkSync('loop.json', join(root, 'loop.json'));
    await expectError(async () => (await ModelDirectory.open(root)).json('loop.json'), {
      code: 'E_BAD_CONFIG',
    });
  });

  test('a dangling link counts as a missing file', async () => {
    const root = tree({});
    symlinkSync('absent', join(root, 'link'));
    await expectError(async () => (await ModelDirectory.open(root)).resolve('link'), { code: 'E_NOT_FOUND' });
  });

  test('the layout of the Hugging Face cache', async () => {
    const cache = tree({
      'models--org--name/blobs/1234': { model_type: 'bert' },
      'models--org--name/blobs/5678': tensors('w'),
      'models--other--name/blobs/9999': {},
    });
    const snapshot = join(cache, 'models--org--name/snapshots/abcdef');
    mkdirSync(join(snapshot, '2_Dense'), { recursive: true });
    symlinkSync('../../blobs/1234', join(snapshot, 'config.json'));
    symlinkSync('../../../blobs/5678', join(snapshot, '2_Dense/model.safetensors'));
    symlinkSync('../../../models--other--name/blobs/9999', join(snapshot, 'other.json'));
    symlinkSync(snapshot, join(cache, 'latest'));
    for (const path of [snapshot, join(cache, 'latest')]) {
      const directory = await ModelDirectory.open(path);
      expect(await directory.json('config.json')).toEqual({ model_type: 'bert' });
      expect([...(await directory.weights('2_Dense')).map.keys()]).toEqual(['w']);
      expect((await (await directory.subdirectory('2_Dense')).weights()).files).toHaveLength(1);
      await expectError(() => directory.json('other.json'), { code: 'E_BAD_CONFIG', words: 'leads out' });
    }
  });

  test('blobs that are themselves a link elsewhere', async () => {
    const cache = tree({ 'elsewhere/1234': {}, 'repo/snapshots/r/x': '' });
    symlinkSync('../elsewhere', join(cache, 'repo/blobs'));
    symlinkSync('../../blobs/1234', join(cache, 'repo/snapshots/r/config.json'));
    const directory = await ModelDirectory.open(join(cache, 'repo/snapshots/r'));
    await expectError(() => directory.json('config.json'), { code: 'E_BAD_CONFIG', words: 'leads out' });
  });
});

describe('weights', () => {
  const weightsOf = async (files: Parameters<typeof writeTree>[1], folder?: string) => {
    const root = tree(files);
    return { root, weights: await (await ModelDirectory.open(root)).weights(folder) };
  };
  const index = (weightMap: unknown) => ({ metadata: { total_size: 8 }, weight_map: weightMap });

  test('one file', async () => {
    const { root, weights } = await weightsOf({ 'model.safetensors': tensors('a', 'b') });
    const file = join(root, 'model.safetensors');
    expect(weights).toEqual({
      files: [file],
      map: new Map([
        ['a', file],
        ['b', file],
      ]),
    });
  });

  test('one file in a folder', async () => {
    const { root, weights } = await weightsOf(
      { '2_Dense/model.safetensors': tensors('linear.weight') },
      '2_Dense',
    );
    expect(weights.files).toEqual([join(root, '2_Dense/model.safetensors')]);
  });

  test('shards, with a tensor that the index does not list', async () => {
    const { root, weights } = await weightsOf({
      'model.safetensors.index.json': index({
        a: 'one.safetensors',
        b: 'two.safetensors',
        c: 'one.safetensors',
      }),
      'one.safetensors': tensors('a', 'c'),
      'two.safetensors': tensors('b', 'extra'),
    });
    const [one, two] = [join(root, 'one.safetensors'), join(root, 'two.safetensors')];
    expect(weights.files).toEqual([one, two]);
    expect(weights.map).toEqual(
      new Map([
        ['a', one],
        ['b', two],
        ['c', one],
      ]),
    );
  });

  test.each(['../one.safetensors', '/etc/passwd', 'sub/one.safetensors', '..', 'a\\b', 'a\0b', ''])(
    'an index that points to %j',
    async (shard) => {
      const files = {
        'model.safetensors.index.json': index({ a: shard }),
        'sub/one.safetensors': tensors('a'),
      };
      await expectError(() => weightsOf(files), { code: 'E_BAD_WEIGHTS' });
    },
  );

  test('an index that points through a link out of the directory', async () => {
    const root = tree({
      'secret.safetensors': tensors('a'),
      'm/model.safetensors.index.json': index({ a: 'link' }),
    });
    symlinkSync('../secret.safetensors', join(root, 'm/link'));
    await expectError(async () => (await ModelDirectory.open(join(root, 'm'))).weights(), {
      code: 'E_BAD_WEIGHTS',
      field: 'link',
      words: 'leads out',
    });
  });

  test.each<[string, unknown, string]>([
    ['nothing', undefined, 'must list the tensors'],
    ['an empty map', {}, 'must list the tensors'],
    ['a number for a shard', { a: 1 }, 'not the bare name'],
    ['a shard that is not there', { a: 'absent.safetensors' }, 'not there'],
    ['a tensor that its shard lacks', { b: 'one.safetensors' }, 'which lacks it'],
  ])('an index with %s', (_name, map, words) =>
    expectError(
      () => weightsOf({ 'model.safetensors.index.json': index(map), 'one.safetensors': tensors('a') }),
      {
        code: 'E_BAD_WEIGHTS',
        words,
      },
    ),
  );

  test('a damaged file', async () => {
    const error = await expectError(() => weightsOf({ 'model.safetensors': tensors('a').subarray(0, -1) }), {
      code: 'E_BAD_WEIGHTS',
      field: 'a',
      words: 'truncated',
    });
    expect(error.message).toContain('model.safetensors');
  });

  test('a FIFO', async () => {
    const root = tree({});
    execFileSync('mkfifo', [join(root, 'model.safetensors')]);
    await expectError(async () => (await ModelDirectory.open(root)).weights(), { code: 'E_BAD_WEIGHTS' });
  });

  test.each([
    ['pytorch_model.bin', 'scripts/convert-checkpoint.py'],
    ['model.pt', 'scripts/convert-checkpoint.py'],
    ['weights.ckpt', 'scripts/convert-checkpoint.py'],
    ['tf_model.h5', 'from transformers import AutoModel'],
  ])('only %s', (name, words) =>
    expectError(() => weightsOf({ [name]: 'x', 'training_args.bin': 'x' }), {
      code: 'E_BAD_WEIGHTS',
      field: name,
      words,
    }),
  );

  test('no weights at all', async () => {
    await expectError(() => weightsOf({ 'training_args.bin': 'x' }), {
      code: 'E_NOT_FOUND',
      field: 'model.safetensors',
    });
    await expectError(() => weightsOf({}, '2_Dense'), { code: 'E_NOT_FOUND' });
  });

  test('model.safetensors that links out of the directory', async () => {
    const root = tree({ 'secret.safetensors': tensors('a'), 'm/config.json': {} });
    symlinkSync('../secret.safetensors', join(root, 'm/model.safetensors'));
    await expectError(async () => (await ModelDirectory.open(join(root, 'm'))).weights(), {
      code: 'E_BAD_WEIGHTS',
      field: 'model.safetensors',
    });
  });

  test('a file that appears only in another case is not taken', async () => {
    const root = tree({});
    writeFileSync(join(root, 'MODEL.SAFETENSORS'), tensors('a'));
    await expectError(async () => (await ModelDirectory.open(root)).weights(), { code: 'E_NOT_FOUND' });
  });
});
