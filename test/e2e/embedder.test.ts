// Embedder from text to vectors: against sentence-transformers in float64, and against everything users do wrong.
import { cpSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { device } from '../../ts/device';
import { Embedder, type EmbedderLoadOptions } from '../../ts/tasks/embedder';
import { relativeError } from '../support/goldens';
import { chainNames, layOut, temporaryFolder } from '../support/chains';

const bert = join(__dirname, '../goldens/models/bert/checkpoint');
const load = (path = bert, options: EmbedderLoadOptions = {}) =>
  Embedder.load(path, { pooling: 'mean', ...options });

/** The code and field a promise rejects with. */
async function failure(
  promise: Promise<unknown>,
): Promise<{ name: string; code: string; field: string | undefined }> {
  const error = await promise.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  const { name, code, field } = error as Error & { code: string; field?: string };
  return { name, code, field };
}

describe('the chains of sentence-transformers', () => {
  test.each(chainNames)('%s', async (name) => {
    using folder = temporaryFolder();
    const { directory, inputs, expected } = layOut(name, folder.path);
    await using embedder = await Embedder.load(directory);
    const width = expected.shape[1]!;
    for (const promptName of new Set(inputs.map((input) => input.promptName))) {
      const chosen = [...inputs.keys()].filter((i) => inputs[i]!.promptName === promptName);
      const vectors = await embedder.embed(
        chosen.map((i) => inputs[i]!.text),
        promptName === null ? {} : { promptName },
      );
      expect(vectors.dimensions).toBe(width);
      const errors = chosen.map((i, row) => ({
        text: inputs[i]!.text.slice(0, 40),
        error: relativeError(vectors.row(row), expected.data.subarray(i * width, (i + 1) * width)),
      }));
      expect(errors.filter(({ error }) => !(error < 1e-5))).toEqual([]);
    }
  });
});

describe('what it returns', () => {
  test('rows in the order of the texts, whatever the batches, bit for bit', async () => {
    await using embedder = await load();
    const texts = Array.from(
      { length: 40 },
      (_, i) => 'the bread is warm and the night is long '.repeat(i % 7) + i,
    );
    const whole = await embedder.embed(texts);
    const small = await embedder.embed(texts, { batchTokens: 32 });
    expect(small.data).toEqual(whole.data);
    const alone = await embedder.embed(texts[17]!);
    expect([...alone.row(0)]).toEqual([...whole.row(17)]);
    expect([...whole]).toHaveLength(40);
  });

  test('dimensions cut, normalize makes unit length', async () => {
    await using embedder = await load();
    const full = await embedder.embed(['one text']);
    const cut = await embedder.embed(['one text'], { dimensions: 10 });
    expect([...cut.row(0)]).toEqual([...full.row(0).subarray(0, 10)]);
    const unit = await embedder.embed(['one text'], { dimensions: 10, normalize: true });
    const norm = Math.hypot(...full.row(0).subarray(0, 10));
    unit.row(0).forEach((value, i) => expect(value).toBeCloseTo(full.row(0)[i]! / norm, 5));
  });

  test('no texts give no rows; an empty text has its special tokens', async () => {
    await using embedder = await load();
    expect((await embedder.embed([])).length).toBe(0);
    const [row] = await embedder.embed(['']);
    expect(row!.some((value) => value !== 0)).toBe(true);
  });

  test('similarity of a matrix with itself has ones on its diagonal', async () => {
    await using embedder = await load();
    const vectors = await embedder.embed(['one', 'two words', 'three other words']);
    const { data } = await embedder.similarity(vectors, vectors);
    for (const i of [0, 4, 8]) expect(data[i]).toBeCloseTo(1, 5);
    expect(data[1]).toBeCloseTo(data[3]!, 6);
  });

  test('loading twice shares the weights', async () => {
    await using first = await load();
    await first.embed('text');
    const before = device('cpu').memoryInfo().allocated;
    await using second = await load();
    const grown = device('cpu').memoryInfo().allocated - before;
    expect(grown).toBeLessThan(50_000);
    expect((await second.embed('text')).data).toEqual((await first.embed('text')).data);
  });
});

describe('wrong input to embed', () => {
  test.each<[string, unknown, unknown, string, string | undefined]>([
    ['a number', [1], undefined, 'E_INVALID_ARGUMENT', 'texts[0]'],
    ['null', null, undefined, 'E_INVALID_ARGUMENT', 'texts'],
    ['a misspelled option', ['a'], { normalise: true }, 'E_INVALID_ARGUMENT', 'normalise'],
    ['too many dimensions', ['a'], { dimensions: 97 }, 'E_INVALID_ARGUMENT', 'dimensions'],
    ['an unknown prompt', ['a'], { promptName: 'query' }, 'E_INVALID_ARGUMENT', 'promptName'],
    ['a text beyond the limit', ['a '.repeat(600)], { truncate: false }, 'E_TOO_LONG', undefined],
  ])('%s', async (_, texts, options, code, field) => {
    await using embedder = await load();
    const found = await failure(embedder.embed(texts as string[], options as object));
    expect(found).toMatchObject({ name: 'PadlessError', code, ...(field && { field }) });
    expect((await embedder.embed(['it still works'])).length).toBe(1);
  });

  test('100,000 characters are cut to the limit', async () => {
    await using embedder = await load();
    expect((await embedder.embed(['word '.repeat(20_000)])).length).toBe(1);
  });

  test('a signal that fired before, and one that fires during', async () => {
    await using embedder = await load();
    expect(await failure(embedder.embed(['a'], { signal: AbortSignal.abort() }))).toMatchObject({
      code: 'E_ABORTED',
    });
    const controller = new AbortController();
    const texts = Array.from({ length: 2000 }, (_, i) => `text number ${i} of many `.repeat(10));
    const pending = failure(embedder.embed(texts, { signal: controller.signal }));
    setTimeout(() => controller.abort(), 30);
    expect(await pending).toMatchObject({ code: 'E_ABORTED' });
    const late = new AbortController();
    expect((await embedder.embed(['a'], { signal: late.signal })).length).toBe(1);
    late.abort();
    expect((await embedder.embed(['a'])).length).toBe(1);
  });

  test('use after dispose, and dispose while a call is pending', async () => {
    const embedder = await load();
    const pending = failure(embedder.embed(Array.from({ length: 500 }, (_, i) => `text ${i} `.repeat(20))));
    embedder.dispose();
    expect(await pending).toMatchObject({ code: 'E_DISPOSED' });
    expect(await failure(embedder.embed(['a']))).toMatchObject({ code: 'E_DISPOSED' });
  });
});

describe('wrong directories', () => {
  /** A copy of the checkpoint with something done to it. */
  async function damaged(change: (path: string) => void, options: EmbedderLoadOptions = {}) {
    using folder = temporaryFolder();
    const path = join(folder.path, 'model');
    cpSync(bert, path, { recursive: true });
    change(path);
    return await failure(load(path, options));
  }
  const config = (path: string, changes: object) => {
    const file = join(path, 'config.json');
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    const original = require(join(bert, 'config.json')) as object;
    writeFileSync(file, JSON.stringify({ ...original, ...changes }));
  };

  test.each<[string, (path: string) => void, string, string]>([
    ['no directory', (path) => rmSync(path, { recursive: true }), 'E_NOT_FOUND', ''],
    ['no config.json', (path) => rmSync(join(path, 'config.json')), 'E_NOT_FOUND', 'config.json'],
    [
      'config.json that is no JSON',
      (path) => writeFileSync(join(path, 'config.json'), '{'),
      'E_BAD_CONFIG',
      'config.json',
    ],
    [
      'a pickle only',
      (path) => {
        rmSync(join(path, 'model.safetensors'));
        writeFileSync(join(path, 'pytorch_model.bin'), '');
      },
      'E_BAD_WEIGHTS',
      'pytorch_model.bin',
    ],
    [
      'truncated weights',
      (path) => truncateSync(join(path, 'model.safetensors'), 20_000),
      'E_BAD_WEIGHTS',
      '',
    ],
    [
      'no tokenizer.json',
      (path) => rmSync(join(path, 'tokenizer.json')),
      'E_BAD_TOKENIZER',
      'tokenizer.json',
    ],
    ['an unknown model_type', (path) => config(path, { model_type: 'bertt' }), 'E_UNSUPPORTED', 'model_type'],
    ['an unknown activation', (path) => config(path, { hidden_act: 'mish' }), 'E_UNSUPPORTED', 'hidden_act'],
    [
      'relative positions',
      (path) => config(path, { position_embedding_type: 'relative_key' }),
      'E_UNSUPPORTED',
      'position_embedding_type',
    ],
    [
      'heads that do not divide',
      (path) => config(path, { num_attention_heads: 5 }),
      'E_BAD_CONFIG',
      'num_attention_heads',
    ],
    [
      'absurdly many layers',
      (path) => config(path, { num_hidden_layers: 1e6 }),
      'E_BAD_CONFIG',
      'num_hidden_layers',
    ],
    ['more layers than tensors', (path) => config(path, { num_hidden_layers: 4 }), 'E_BAD_WEIGHTS', ''],
    ['fewer layers than tensors', (path) => config(path, { num_hidden_layers: 2 }), 'E_BAD_WEIGHTS', ''],
    [
      'another hidden size',
      (path) => config(path, { hidden_size: 192, num_attention_heads: 3 }),
      'E_BAD_WEIGHTS',
      '',
    ],
    ['a vocabulary below the tokenizer’s', (path) => config(path, { vocab_size: 10 }), 'E_BAD_', ''],
    [
      'a shard outside the directory',
      (path) => {
        rmSync(join(path, 'model.safetensors'));
        writeFileSync(
          join(path, 'model.safetensors.index.json'),
          '{"weight_map": {"embeddings.word_embeddings.weight": "../model.safetensors"}}',
        );
      },
      'E_BAD_',
      '',
    ],
  ])('%s', async (_, change, code, field) => {
    const found = await damaged(change);
    expect(found.name).toBe('PadlessError');
    expect(found.code.startsWith(code)).toBe(true);
    if (field) expect(found.field).toBe(field);
  });

  test('no pooling named anywhere', async () => {
    expect(await failure(Embedder.load(bert))).toMatchObject({ code: 'E_BAD_CONFIG', field: 'pooling' });
  });

  test('wrong options of load', async () => {
    expect(await failure(load(bert, { thread: 1 } as object))).toMatchObject({
      code: 'E_INVALID_ARGUMENT',
      field: 'thread',
    });
    expect(await failure(load(bert, { device: 'cuda:0' }))).toMatchObject({ code: 'E_DEVICE' });
    expect(await failure(load(bert, { signal: AbortSignal.abort() }))).toMatchObject({ code: 'E_ABORTED' });
  });
});
