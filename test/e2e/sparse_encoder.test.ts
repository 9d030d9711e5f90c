// SPLADE and TILDEv2 directories against sentence-transformers in float64: test/goldens/retrieval.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SparseEncoder } from '../../ts/tasks/sparse_encoder';
import { sparseDot, type SparseVector } from '../../ts/tasks/sparse_vectors';
import { Embedder } from '../../ts/tasks/embedder';
import { relativeError } from '../support/chains';
import { makeRetrieval } from '../support/retrieval';
import { spoilTensor } from '../support/spoil';
import { editJson } from '../support/tasks';

let scratch: string;
beforeAll(() => (scratch = mkdtempSync(join(tmpdir(), 'padless-sparse-'))));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function dense({ indices, values }: SparseVector, dimensions: number): Float64Array {
  const row = new Float64Array(dimensions);
  indices.forEach((index, i) => (row[index] = values[i]!));
  return row;
}

describe.each(['splade', 'splade-old', 'splade-bare', 'splade-router', 'tilde'])('%s', (name) => {
  test('equals the reference, alone and in one batch', async () => {
    const { checkpoint, texts, expected } = makeRetrieval(name, join(scratch, name));
    await using encoder = await SparseEncoder.load(checkpoint);
    const vectors = await encoder.encode(texts);
    const alone = await encoder.encode(texts, { batchTokens: 1 });
    const { shape, data } = expected.get('sparse')!;
    expect([vectors.length, vectors.dimensions]).toEqual(shape);
    expect([alone.offsets, alone.indices, alone.values]).toEqual([
      vectors.offsets,
      vectors.indices,
      vectors.values,
    ]);
    const actual = Array.from(vectors, (vector) => [...dense(vector, shape[1]!)]).flat();
    expect(relativeError(actual, data)).toBeLessThan(1e-5);
    expect(
      [...vectors].every(
        ({ indices, values }) =>
          indices.every((x, i) => i === 0 || x > indices[i - 1]!) && values.every((x) => x > 0),
      ),
    ).toBe(true);
    expect(vectors.row(0).indices.length).toBeGreaterThan(3);
  });

  test('topK keeps the largest weights', async () => {
    const { checkpoint, texts } = makeRetrieval(name, join(scratch, `${name}-top`));
    await using encoder = await SparseEncoder.load(checkpoint);
    const [all, top] = [await encoder.encode(texts), await encoder.encode(texts, { topK: 3 })];
    texts.forEach((_, i) => {
      const { indices, values } = all.row(i);
      const order = [...indices.keys()].sort((a, b) => values[b]! - values[a]! || indices[a]! - indices[b]!);
      const kept = order.slice(0, 3).sort((a, b) => a - b);
      expect([...top.row(i).indices]).toEqual(kept.map((at) => indices[at]));
      expect([...top.row(i).values]).toEqual(kept.map((at) => values[at]));
    });
  });
});

describe('encode', () => {
  let encoder: SparseEncoder;
  beforeAll(
    async () =>
      (encoder = await SparseEncoder.load(makeRetrieval('splade', join(scratch, 'encode')).checkpoint)),
  );
  afterAll(() => encoder[Symbol.asyncDispose]());

  test('a string, no text, a prompt', async () => {
    expect((await encoder.encode('bread')).length).toBe(1);
    expect((await encoder.encode([])).length).toBe(0);
    expect(encoder.prompts).toEqual({ query: 'query: ', document: '' });
    const [named, spelled] = [
      await encoder.encode('bread', { promptName: 'query' }),
      await encoder.encode('query: bread'),
    ];
    expect(named.values).toEqual(spelled.values);
    expect(() => named.row(1)).toThrow(RangeError);
  });

  test('a dot product of sparse vectors', () => {
    const vector = (entries: [number, number][]): SparseVector => ({
      indices: Int32Array.from(entries, ([index]) => index),
      values: Float32Array.from(entries, ([, value]) => value),
    });
    const a = vector([
      [1, 2],
      [5, 0.5],
      [9, 4],
    ]);
    expect(
      sparseDot(
        a,
        vector([
          [0, 7],
          [5, 4],
          [9, 1],
          [11, 3],
        ]),
      ),
    ).toBe(6);
    expect(sparseDot(a, vector([]))).toBe(0);
  });

  test.each([
    ['no text', undefined, {}, 'E_INVALID_ARGUMENT', 'texts'],
    ['a number among texts', ['a', 1], {}, 'E_INVALID_ARGUMENT', 'texts[1]'],
    ['a misspelled option', 'a', { topk: 3 }, 'E_INVALID_ARGUMENT', 'topk'],
    ['topK 0', 'a', { topK: 0 }, 'E_INVALID_ARGUMENT', 'topK'],
    ['a long text that may not be cut', 'bread '.repeat(99), { truncate: false }, 'E_TOO_LONG', 'texts[0]'],
    ['a fired signal', 'a', { signal: AbortSignal.abort() }, 'E_ABORTED', 'signal'],
  ])('%s', async (_name, texts, options, code, field) => {
    await expect(encoder.encode(texts as string, options as object)).rejects.toMatchObject({ code, field });
    expect((await encoder.encode('later')).length).toBe(1);
  });

  test('an abort in the middle rejects, and a disposal too', async () => {
    const controller = new AbortController();
    const texts = Array.from({ length: 3000 }, (_, i) => `the river ${i} wanders`);
    const pending = encoder.encode(texts, { batchTokens: 64, signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await expect(pending).rejects.toMatchObject({ code: 'E_ABORTED' });
    const other = await SparseEncoder.load(join(scratch, 'encode'));
    other.dispose();
    await expect(other.encode('a')).rejects.toMatchObject({ code: 'E_DISPOSED' });
  });
});

describe('load', () => {
  function spoilt(name: string, file: string, edit: (json: Record<string, unknown>) => unknown): string {
    const { checkpoint } = makeRetrieval('splade', join(scratch, name));
    const path = join(checkpoint, file);
    writeFileSync(
      path,
      JSON.stringify(edit(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>)),
    );
    return checkpoint;
  }

  test.each<[string, string, (json: Record<string, unknown>) => unknown, string, string]>([
    [
      'a sum',
      '1_SpladePooling/config.json',
      (json) => ({ ...json, pooling_strategy: 'sum' }),
      'E_UNSUPPORTED',
      'pooling_strategy',
    ],
    [
      'another activation',
      '1_SpladePooling/config.json',
      (json) => ({ ...json, activation_function: 'gelu' }),
      'E_UNSUPPORTED',
      'activation_function',
    ],
    [
      'a class without words',
      'config.json',
      (json) => ({ ...json, architectures: ['BertModel'] }),
      'E_UNSUPPORTED',
      'architectures',
    ],
    [
      'an unknown module',
      'modules.json',
      (json) => [
        (json as unknown as object[])[0],
        { type: 'sentence_transformers.sparse_encoder.models.IDF', path: '1' },
      ],
      'E_UNSUPPORTED',
      'type',
    ],
    [
      'too few modules',
      'modules.json',
      (json) => [(json as unknown as object[])[0]],
      'E_UNSUPPORTED',
      'modules.json',
    ],
  ])('%s', async (name, file, edit, code, field) => {
    await expect(SparseEncoder.load(spoilt(name, file, edit))).rejects.toMatchObject({ code, field });
  });

  test('a chain of embeddings, and SPLADE as an Embedder', async () => {
    const folder = join(scratch, 'mean');
    cpSync(join(__dirname, '../goldens/models/bert/checkpoint'), folder, { recursive: true });
    await expect(SparseEncoder.load(folder)).rejects.toMatchObject({
      code: 'E_UNSUPPORTED',
      field: 'architectures',
    });
    const { checkpoint } = makeRetrieval('splade', join(scratch, 'as-embedder'));
    await expect(Embedder.load(checkpoint)).rejects.toMatchObject({
      code: 'E_UNSUPPORTED',
      message: expect.stringContaining('SparseEncoder'),
    });
  });
});

describe('a Router: queries are looked up', () => {
  const load = (name: string, edit: (folder: string) => void = () => undefined) => {
    const { checkpoint, ...golden } = makeRetrieval('splade-router', join(scratch, name));
    edit(checkpoint);
    return { ...golden, load: () => SparseEncoder.load(checkpoint) };
  };
  const router = (change: (values: Record<string, Record<string, unknown>>) => void) => (folder: string) =>
    editJson(join(folder, 'router_config.json'), change as never);

  test('queries equal the reference, with topK, in chunks, and one at a time', async () => {
    const { queries, expected, load: open } = load('queries');
    await using encoder = await open();
    const found = await encoder.encode(queries, { side: 'query' });
    const { shape, data } = expected.get('queries')!;
    expect([found.length, found.dimensions]).toEqual(shape);
    const actual = Array.from(found, (vector) => [...dense(vector, shape[1]!)]).flat();
    expect(relativeError(actual, data)).toBeLessThan(1e-7);
    expect(found.row(1).indices.length).toBe(0);
    const top = await encoder.encode(queries, { side: 'query', topK: 2 });
    const best = [...found.row(2).values].sort((a, b) => b - a).slice(0, 2);
    expect([...top.row(2).values].sort((a, b) => b - a)).toEqual(best);
    const long = `${'bread '.repeat(100)}river`;
    const whole = await encoder.encode(long, { side: 'query', chunks: true });
    const [cut, brief] = [
      await encoder.encode(long, { side: 'query' }),
      await encoder.encode('bread river', { side: 'query' }),
    ];
    expect(whole.indices).toEqual(brief.indices);
    expect(cut.indices.length).toBeLessThan(whole.indices.length);
    await expect(encoder.encode(long, { side: 'query', truncate: false })).rejects.toMatchObject({
      code: 'E_TOO_LONG',
    });
    await expect(encoder.encode('a', { side: 'query', signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'E_ABORTED',
    });
    expect((await encoder.encode([], { side: 'query' })).length).toBe(0);
  });

  test('the default route counts', async () => {
    const { texts, load: open } = load(
      'default',
      router(({ parameters }) => (parameters!['default_route'] = 'query')),
    );
    await using encoder = await open();
    const [plain, query] = [await encoder.encode(texts), await encoder.encode(texts, { side: 'query' })];
    expect(plain.values).toEqual(query.values);
    expect((await encoder.encode(texts, { side: 'document' })).values).not.toEqual(query.values);
    const { load: none } = load(
      'no-default',
      router(
        (values) =>
          (values['parameters'] = { default_route: null as never, allow_empty_key: false as never }),
      ),
    );
    await using other = await none();
    await expect(other.encode(texts)).rejects.toMatchObject({ code: 'E_INVALID_ARGUMENT', field: 'side' });
  });

  test.each<[string, (folder: string) => void, string, string]>([
    [
      'another route',
      router(({ structure }) => (structure!['image'] = [])),
      'E_UNSUPPORTED',
      'structure.image',
    ],
    ['an unknown class', router(({ types }) => (types![''] = 'custom.Thing')), 'E_UNSUPPORTED', 'types.'],
    [
      'a model for queries',
      router(({ structure }) => (structure!['query'] = ['', 'document_1_SpladePooling'])),
      'E_UNSUPPORTED',
      'modules.json',
    ],
    ['no list', router(({ structure }) => (structure!['query'] = 'x')), 'E_BAD_CONFIG', 'structure.query'],
    [
      'a folder outside',
      router((values) => {
        values['types']!['../x'] = values['types']!['query_0_SparseStaticEmbedding'];
        values['structure']!['query'] = ['../x'];
      }),
      'E_BAD_CONFIG',
      '../x/config.json',
    ],
    [
      'weights in JSON',
      (folder) =>
        editJson(
          join(folder, 'query_0_SparseStaticEmbedding/config.json'),
          (values) => (values['path'] = 'idf.json'),
        ),
      'E_UNSUPPORTED',
      'path',
    ],
    [
      'NaN among the weights',
      (folder) => spoilTensor(join(folder, 'query_0_SparseStaticEmbedding/model.safetensors'), 'weight'),
      'E_BAD_WEIGHTS',
      'query_0_SparseStaticEmbedding/weight',
    ],
  ])('%s is refused', async (name, edit, code, field) => {
    const { load: open } = load(name.replace(/\W/g, '-'), edit);
    await expect(open()).rejects.toMatchObject({ code, field });
  });

  test('side is for such checkpoints alone', async () => {
    await using encoder = await SparseEncoder.load(
      makeRetrieval('splade', join(scratch, 'sides')).checkpoint,
    );
    await expect(encoder.encode('a', { side: 'query' })).rejects.toMatchObject({
      code: 'E_INVALID_ARGUMENT',
      field: 'side',
    });
  });
});
