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
import { QuestionAnswerer } from '../../ts/tasks/question_answerer';
import { Reranker } from '../../ts/tasks/reranker';
import { TokenClassifier } from '../../ts/tasks/token_classifier';
import { makeChain } from '../support/chains';
import { exactCpu } from '../support/devices';
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
  const rows = SharedPasses.prototype.rows;
  let left = count;
  const asked = new Promise<void>((resolve) => {
    jest.spyOn(SharedPasses.prototype, 'rows').mockImplementation(function (this: SharedPasses, ...args) {
      if (--left === 0) setImmediate(resolve);
      return rows.apply(this, args);
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
    jest.restoreAllMocks();
    runs = jest.spyOn(Encoder.prototype, 'run');
  }
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
