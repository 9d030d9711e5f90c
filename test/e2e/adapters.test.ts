// Task adapters of one loaded model, from texts: jina-embeddings-v3's layout with a tokenizer of words.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Encoder } from '../../ts/encoder';
import { PackedBatch } from '../../ts/packed';
import { Embedder } from '../../ts/tasks/embedder';
import { expectError } from '../support/errors';
import { readGolden, relativeError } from '../support/goldens';
import { added } from '../support/tokenizers';

const SPECIAL = ['<s>', '<pad>', '</s>', '<unk>', 'look', 'for', ':'];
const words = Array.from({ length: 60 }, (_, id) => SPECIAL[id] ?? `w${id}`);
const TASKS = ['retrieval.query', 'text-matching'];

const tokenizer = {
  version: '1.0',
  added_tokens: SPECIAL.slice(0, 4).map((content, id) => added(id, content, { special: true })),
  pre_tokenizer: { type: 'Whitespace' },
  post_processor: {
    type: 'TemplateProcessing',
    single: [
      { SpecialToken: { id: '<s>', type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
      { SpecialToken: { id: '</s>', type_id: 0 } },
    ],
    pair: [],
    special_tokens: Object.fromEntries(
      ['<s>', '</s>'].map((id) => [id, { id, ids: [words.indexOf(id)], tokens: [id] }]),
    ),
  },
  model: {
    type: 'WordLevel',
    vocab: Object.fromEntries(words.map((word, id) => [word, id])),
    unk_token: '<unk>',
  },
};

/** A sentence-transformers directory over the fixture's checkpoint. */
function makeDirectory(golden: string, target: string, module = 'custom_st.Transformer'): string {
  cpSync(readGolden(golden).checkpoint, target, { recursive: true });
  const json = (name: string, value: unknown) => writeFileSync(join(target, name), JSON.stringify(value));
  mkdirSync(join(target, '1_Pooling'));
  json('1_Pooling/config.json', { pooling_mode_mean_tokens: true });
  json('tokenizer.json', tokenizer);
  json('modules.json', [
    { idx: 0, name: '0', path: '', type: module },
    { idx: 1, name: '1', path: '1_Pooling', type: 'sentence_transformers.models.Pooling' },
  ]);
  return target;
}

let scratch: string;
let directory: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'padless-adapters-'));
  directory = makeDirectory('jina-v3-remote', join(scratch, 'jina'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** The mean of the encoder's rows for `text` between its special tokens. */
async function meanOf(text: string, adapter?: string): Promise<Float64Array> {
  using encoder = await Encoder.load(directory);
  const ids = ['<s>', ...text.split(' '), '</s>'].map((word) => words.indexOf(word));
  const { lastHiddenState } = await encoder.run(PackedBatch.fromSequences([ids]), {
    outputs: ['lastHiddenState'],
    ...(adapter !== undefined && { adapter }),
  });
  const { hiddenSize } = encoder.spec;
  return Float64Array.from({ length: hiddenSize }, (_, column) => {
    const rows = ids.map((_id, row) => lastHiddenState![row * hiddenSize + column]!);
    return rows.reduce((sum, value) => sum + value, 0) / ids.length;
  });
}

test('a task adds its adapter and its instruction; without one nothing is added', async () => {
  await using embedder = await Embedder.load(directory);
  expect(embedder.tasks).toEqual(TASKS);
  const plain = (await embedder.embed('w9 w10')).row(0);
  const query = (await embedder.embed('w9 w10', { task: TASKS[0]! })).row(0);
  const bare = (await embedder.embed('w9 w10', { task: TASKS[0]!, prompt: '' })).row(0);
  const matching = (await embedder.embed('w9 w10', { task: TASKS[1]! })).row(0);
  expect(relativeError(plain, await meanOf('w9 w10'))).toBeLessThan(1e-6);
  expect(relativeError(query, await meanOf('look for : w9 w10', TASKS[0]))).toBeLessThan(1e-6);
  expect(relativeError(bare, await meanOf('w9 w10', TASKS[0]))).toBeLessThan(1e-6);
  expect(relativeError(matching, await meanOf('w9 w10', TASKS[1]))).toBeLessThan(1e-6);
  for (const other of [query, bare, matching]) expect(relativeError(other, plain)).toBeGreaterThan(0.1);
});

test('calls of different tasks at the same time do not mix', async () => {
  await using embedder = await Embedder.load(directory);
  const texts = Array.from({ length: 20 }, (_, i) => `w${10 + i} w${40 - i}`);
  const options = [{}, { task: TASKS[0]! }, { task: TASKS[1]! }];
  const alone: Float32Array[] = [];
  for (const one of options) alone.push((await embedder.embed(texts, { ...one, batchTokens: 16 })).data);
  const together = await Promise.all(
    options.map((one) => embedder.embed(texts, { ...one, batchTokens: 16 })),
  );
  expect(together.map(({ data }) => data)).toEqual(alone);
});

test('int8 keeps the adapters exact', async () => {
  await using embedder = await Embedder.load(directory, { dtype: 'int8' });
  const row = (await embedder.embed('w9 w10', { task: TASKS[1]! })).row(0);
  expect(relativeError(row, await meanOf('w9 w10', TASKS[1]))).toBeLessThan(0.05);
});

test('tasks that do not exist', async () => {
  await using embedder = await Embedder.load(directory);
  const unknown = { code: 'E_INVALID_ARGUMENT', field: 'task' } as const;
  await expectError(() => embedder.embed('w9', { task: 'retrieval.qury' }), unknown);
  const path = makeDirectory('jina-v3', join(scratch, 'native'), 'sentence_transformers.models.Transformer');
  await using none = await Embedder.load(path);
  expect(none.tasks).toEqual([]);
  await expectError(() => none.embed('w9', { task: 'text-matching' }), unknown);
  using encoder = await Encoder.load(directory);
  const run = encoder.run(PackedBatch.fromSequences([[0, 2]]), {
    outputs: ['lastHiddenState'],
    adapter: 'x',
  });
  await expectError(() => run, { code: 'E_INVALID_ARGUMENT', field: 'adapter' });
});

test('a first module of another model’s own code is refused', async () => {
  const path = makeDirectory('roberta', join(scratch, 'roberta'));
  await expectError(() => Embedder.load(path), { code: 'E_UNSUPPORTED', field: 'type' });
});
