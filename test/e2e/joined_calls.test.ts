// Calls that wait for a model at the same time share forward passes; nobody sees it in the results.
import { join } from 'node:path';
import { SharedPasses } from '../../ts/batching/shared_passes';
import { Encoder } from '../../ts/encoder';
import { PadlessError } from '../../ts/errors';
import { Random } from '../../ts/demo/random';
import { onAbort } from '../../ts/signals';
import { Classifier } from '../../ts/tasks/classifier';
import { Embedder } from '../../ts/tasks/embedder';
import { FillMask } from '../../ts/tasks/fill_mask';
import { LateInteraction } from '../../ts/tasks/late_interaction';
import { M3Embedder } from '../../ts/tasks/m3_embedder';
import { QuestionAnswerer } from '../../ts/tasks/question_answerer';
import { Reranker } from '../../ts/tasks/reranker';
import { SparseEncoder } from '../../ts/tasks/sparse_encoder';
import type { QueueOptions } from '../../ts/tasks/task';
import { TokenClassifier } from '../../ts/tasks/token_classifier';
import { makeChain } from '../support/chains';
import { exactCpu } from '../support/devices';
import { makeRetrieval } from '../support/retrieval';
import { scratchDirectory } from '../support/scratch';
import { editJson, taskCopies } from '../support/tasks';

const checkpoint = (name: string) => join(__dirname, '../goldens/models', name, 'checkpoint');
const scratch = scratchDirectory();
const copyOf = taskCopies(scratch);
const device = exactCpu;
const load = { device, pooling: 'mean' } as const;
const CALLS = 200;

const random = new Random(Number(process.env['PADLESS_TEST_SEED'] ?? 11));
const words = 'the quick brown fox jumps over a lazy dog while London sleeps'.split(' ');
const sentence = (count: number) =>
  Array.from({ length: count }, () => words[random.below(words.length)]!).join(' ');
const texts = Array.from({ length: CALLS }, () => sentence(1 + random.below(30)));

const run = Encoder.prototype.run;
const ask = SharedPasses.prototype.run;
let runs: jest.SpyInstance<ReturnType<Encoder['run']>, Parameters<Encoder['run']>>;
beforeEach(() => (runs = jest.spyOn(Encoder.prototype, 'run')));
afterEach(() => jest.restoreAllMocks());

/** Holds every pass until it is released or stopped; `asked` resolves when `count` batches wait for rows. */
function holdPasses(count: number): { asked: Promise<void>; release: () => void } {
  let release!: () => void;
  const released = new Promise<void>((resolve) => (release = resolve));
  runs.mockClear().mockImplementation(async function (this: Encoder, batch, options) {
    await Promise.race([released, new Promise((resolve) => onAbort(options.signal!, () => resolve(0)))]);
    return run.call(this, batch, options);
  });
  let left = count;
  const asked = new Promise<void>((resolve) => {
    jest.spyOn(SharedPasses.prototype, 'run').mockImplementation(function (this: SharedPasses, ...args) {
      if (--left === 0) setImmediate(resolve);
      return ask.apply(this, args);
    });
  });
  return { asked, release };
}

async function inTurn<T, R>(items: readonly T[], call: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await call(item));
  return results;
}

/** The passes of calls that are made at once, whose results must be those of the calls one after another. */
async function passesOf<T>(items: readonly T[], call: (item: T) => Promise<unknown>): Promise<number> {
  runs.mockClear();
  const alone = await inTurn(items, call);
  expect(runs).toHaveBeenCalledTimes(items.length);
  // So that the number of passes does not depend on time.
  const { asked, release } = holdPasses(items.length);
  void asked.then(release);
  expect(await Promise.all(items.map(call))).toEqual(alone);
  return runs.mock.calls.length;
}

test.each(['f32', 'bf16', 'int8'] as const)(
  '%s: many calls at once give the bits of lone calls',
  async (dtype) => {
    await using embedder = await Embedder.load(checkpoint('bert'), { ...load, dtype });
    expect(await passesOf(texts, (text) => embedder.embed(text))).toBeLessThan(CALLS / 10);
  },
);

test('calls with different options do not mix', async () => {
  await using embedder = await Embedder.load(checkpoint('bert'), load);
  const options = [{}, { normalize: true }, { dimensions: 8 }, { layers: 1 }, { batchTokens: 512 }];
  const items = texts.map((text, i) => ({ text, options: options[i % options.length]! }));
  const passes = await passesOf(items, ({ text, options }) => embedder.embed(text, options));
  expect(passes).toBeLessThan(CALLS / 4);
});

test('texts of many batches and single texts get their own rows', async () => {
  await using embedder = await Embedder.load(checkpoint('bert'), load);
  const wanted = await inTurn(texts, (text) => embedder.embed(text, { batchTokens: 64 }));
  const all = await embedder.embed(texts);
  const [big, ...small] = await Promise.all([
    embedder.embed(texts, { batchTokens: 64 }),
    ...texts.map((text) => embedder.embed(text, { batchTokens: 64 })),
  ]);
  expect(big).toEqual(all);
  expect(small).toEqual(wanted);
});

test('heads: labels, scores, entities, masks and answers', async () => {
  const some = texts.slice(0, 60);
  await using classifier = await Classifier.load(copyOf('classify-one-of'), { device });
  await using reranker = await Reranker.load(copyOf('rerank-default'), { device });
  const qwen3 = copyOf('rerank-qwen3');
  editJson(join(qwen3, 'tokenizer_config.json'), (config) => (config['model_max_length'] = 1024));
  await using decoder = await Reranker.load(qwen3, { device });
  await using tagger = await TokenClassifier.load(copyOf('entities-bert'), { device });
  await using filler = await FillMask.load(copyOf('masks-bert'), { device });
  await using answerer = await QuestionAnswerer.load(copyOf('questions-bert'), { device });
  const calls: ((text: string) => Promise<unknown>)[] = [
    (text) => classifier.classify(text.length % 2 === 0 ? text : { text, pair: 'a dog' }),
    (text) => reranker.scores([{ text: 'a fox', pair: text }]),
    (text) => decoder.scores([{ text: 'a fox', pair: text }]),
    (text) => tagger.classify(text),
    (text) => filler.fill(`[MASK] ${text} ${text.length % 3 === 0 ? '[MASK]' : ''}`),
    (text) => answerer.answer({ question: 'who sleeps', context: text }),
  ];
  for (const call of calls) {
    expect(await passesOf(some, call)).toBeLessThan(some.length / 2);
  }
});

test.each(['splade', 'splade-old', 'tilde'])('sparse vectors: %s', async (name) => {
  const { checkpoint: path } = makeRetrieval(name, join(scratch, name));
  await using encoder = await SparseEncoder.load(path, { device });
  const items = texts.slice(0, 60).map((text, i) => ({ text, options: i % 2 ? { topK: 3 } : {} }));
  expect(await passesOf(items, ({ text, options }) => encoder.encode(text, options))).toBeLessThan(20);
});

test.each(['colbert-pylate', 'multi-vector', 'multi-vector-attend'])(
  'vectors of tokens: %s',
  async (name) => {
    const { checkpoint: path } = makeRetrieval(name, join(scratch, name));
    await using colbert = await LateInteraction.load(path, { device });
    const some = texts.slice(0, 60);
    expect(await passesOf(some, (text) => colbert.encodeQueries(text))).toBeLessThan(20);
    expect(await passesOf(some, (text) => colbert.encodeDocuments(text))).toBeLessThan(20);
    const alone = await inTurn(some, (text) => colbert.rank(text, ['a fox', text, 'the moon']));
    expect(await Promise.all(some.map((text) => colbert.rank(text, ['a fox', text, 'the moon'])))).toEqual(
      alone,
    );
  },
);

test('the three results of BGE-M3', async () => {
  const { checkpoint: path } = makeRetrieval('bge-m3', join(scratch, 'bge-m3'));
  await using m3 = await M3Embedder.load(path, { device });
  const items = texts.slice(0, 60).map((text, i) => ({ text, options: i % 2 ? { topK: 3 } : {} }));
  expect(await passesOf(items, ({ text, options }) => m3.embed(text, options))).toBeLessThan(20);
});

describe.each([
  ['SparseEncoder', 'splade', SparseEncoder],
  ['LateInteraction', 'colbert-pylate', LateInteraction],
  ['M3Embedder', 'bge-m3', M3Embedder],
])('%s', (_, name, task) => {
  const some = texts.slice(0, 30);
  const loadTask = async (options: QueueOptions = {}) => {
    const { checkpoint: path } = makeRetrieval(name, join(scratch, name));
    const model = await task.load(path, { device, ...options });
    const call = (text: string, signal?: AbortSignal): Promise<unknown> => {
      const given = signal ? { signal } : {};
      if (model instanceof LateInteraction) return model.encodeDocuments(text, given);
      return model instanceof SparseEncoder ? model.encode(text, given) : model.embed(text, given);
    };
    return { model, call };
  };

  test('joinCalls: false keeps a pass for each call', async () => {
    const { model, call } = await loadTask({ joinCalls: false });
    expect(await passesOf(some, (text) => call(text))).toBe(some.length);
    await model[Symbol.asyncDispose]();
  });

  test('aborted calls reject alone, and dispose rejects the rest', async () => {
    const { model, call } = await loadTask();
    const wanted = await inTurn(some, (text) => call(text));
    const held = holdPasses(some.length);
    const controllers = some.map(() => new AbortController());
    const calls = some.map((text, i) => call(text, controllers[i]!.signal));
    const settled = Promise.allSettled(calls);
    await held.asked;
    for (const i of [0, 7]) controllers[i]!.abort();
    await expect(calls[7]).rejects.toMatchObject({ code: 'E_ABORTED' });
    held.release();
    (await settled).forEach((result, i) => {
      if (i === 0 || i === 7) expect(result).toMatchObject({ reason: { code: 'E_ABORTED' } });
      else expect(result).toEqual({ status: 'fulfilled', value: wanted[i] });
    });
    const { asked } = holdPasses(some.length);
    const doomed = Promise.allSettled(some.map((text) => call(text)));
    await asked;
    await model[Symbol.asyncDispose]();
    for (const result of await doomed) expect(result).toMatchObject({ reason: { code: 'E_DISPOSED' } });
  });

  test('a joined pass that fails for one text fails for that call alone', async () => {
    const { model, call } = await loadTask();
    // No other text has a sequence as short as that of none.
    const culprit = '';
    const wanted = await inTurn(some, (text) => call(text));
    let shortest = Infinity;
    runs.mockImplementation(async function (this: Encoder, batch, options) {
      shortest = Math.min(shortest, ...batch.lengths);
      return run.call(this, batch, options);
    });
    await call(culprit);
    runs.mockImplementation(function (this: Encoder, batch, options) {
      if (!batch.lengths.includes(shortest)) return run.call(this, batch, options);
      return Promise.reject(new PadlessError('E_INVALID_ARGUMENT', 'not this text'));
    });
    const results = await Promise.allSettled([...some, culprit].map((text) => call(text)));
    expect(results.at(-1)).toMatchObject({ reason: { code: 'E_INVALID_ARGUMENT' } });
    expect(results.slice(0, -1)).toEqual(wanted.map((value) => ({ status: 'fulfilled', value })));
    await model[Symbol.asyncDispose]();
  });
});

test('prompts that the pooling leaves out, each of its own length, in one pass', async () => {
  const target = join(scratch, 'prompts-excluded');
  makeChain('prompts-excluded', target);
  await using embedder = await Embedder.load(target, { device });
  const prompts = ['', 'query: ', 'a longer passage: '];
  const items = texts.slice(0, 60).map((text, i) => ({ text, prompt: prompts[i % 3]! }));
  expect(await passesOf(items, ({ text, prompt }) => embedder.embed(text, { prompt }))).toBeLessThan(10);
});

test('joinCalls: false keeps a pass for each call', async () => {
  await using embedder = await Embedder.load(checkpoint('bert'), { ...load, joinCalls: false });
  expect(await passesOf(texts.slice(0, 20), (text) => embedder.embed(text))).toBe(20);
  await expect(Embedder.load(checkpoint('bert'), { ...load, joinCalls: 1 as never })).rejects.toMatchObject({
    code: 'E_INVALID_ARGUMENT',
    field: 'joinCalls',
  });
});

test('calls that are aborted while they wait or run reject at once, and the others are not disturbed', async () => {
  await using embedder = await Embedder.load(checkpoint('bert'), load);
  const wanted = await inTurn(texts, (text) => embedder.embed(text));
  const { asked, release } = holdPasses(CALLS);
  const controllers = texts.map(() => new AbortController());
  const calls = texts.map((text, i) => embedder.embed(text, { signal: controllers[i]!.signal }));
  const isAborted = (i: number) => i % 3 === 0;
  const settled = Promise.allSettled(calls);
  await asked;
  controllers.filter((_, i) => isAborted(i)).forEach((controller) => controller.abort());
  for (const call of calls.filter((_, i) => isAborted(i)))
    await expect(call).rejects.toMatchObject({ code: 'E_ABORTED' });
  release();
  (await settled).forEach((result, i) => {
    if (!isAborted(i)) expect(result).toEqual({ status: 'fulfilled', value: wanted[i] });
  });
});

test('dispose rejects the calls that wait and those in a pass', async () => {
  const embedder = await Embedder.load(checkpoint('bert'), load);
  const { asked } = holdPasses(CALLS);
  const calls = Promise.allSettled(texts.map((text) => embedder.embed(text)));
  await asked;
  await embedder[Symbol.asyncDispose]();
  const codes = (await calls).map(
    (result) => result.status === 'rejected' && (result.reason as PadlessError).code,
  );
  expect(new Set(codes)).toEqual(new Set(['E_DISPOSED']));
});

test('a joined pass without memory is tried apart', async () => {
  await using embedder = await Embedder.load(checkpoint('bert'), load);
  const wanted = await inTurn(texts, (text) => embedder.embed(text));
  let refused = 0;
  runs.mockImplementation(function (this: Encoder, batch, options) {
    if (batch.sequences === 1) return run.call(this, batch, options);
    refused++;
    return Promise.reject(new PadlessError('E_OUT_OF_MEMORY', 'no memory for the pass'));
  });
  expect(await Promise.all(texts.map((text) => embedder.embed(text)))).toEqual(wanted);
  expect(refused).toBeGreaterThan(0);
});
