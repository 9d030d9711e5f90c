// A limit on what waits for a model, what its queue looks like meanwhile, and deadlines of calls that wait.
import { join } from 'node:path';
import { Encoder } from '../../ts/encoder';
import { onAbort } from '../../ts/signals';
import { Embedder } from '../../ts/tasks/embedder';
import { LateInteraction } from '../../ts/tasks/late_interaction';
import { Reranker } from '../../ts/tasks/reranker';
import { exactCpu } from '../support/devices';
import { makeRetrieval } from '../support/retrieval';
import { scratchDirectory } from '../support/scratch';
import { taskCopies } from '../support/tasks';

const checkpoint = join(__dirname, '../goldens/models/bert/checkpoint');
const load = { device: exactCpu, pooling: 'mean' } as const;
const idle = { calls: 0, waitingCalls: 0, waitingTokens: 0, runningTokens: 0 };
const scratch = scratchDirectory();
const copyOf = taskCopies(scratch);

const run = Encoder.prototype.run;
afterEach(() => jest.restoreAllMocks());

/** Passes wait until `release` is called or their signal fires. */
function holdPasses(): () => void {
  let release!: () => void;
  const released = new Promise<void>((resolve) => (release = resolve));
  jest.spyOn(Encoder.prototype, 'run').mockImplementation(async function (this: Encoder, batch, options) {
    await Promise.race([released, new Promise((resolve) => onAbort(options.signal!, () => resolve(0)))]);
    return run.call(this, batch, options);
  });
  return release;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

test('the queue is told at every moment', async () => {
  await using embedder = await Embedder.load(checkpoint, load);
  const wanted = await embedder.embed('the fox');
  expect(embedder.queueInfo()).toEqual(idle);
  const release = holdPasses();
  const first = embedder.embed('the fox');
  expect(embedder.queueInfo()).toEqual({ ...idle, calls: 1, waitingCalls: 1, waitingTokens: 4 });
  await until(() => embedder.queueInfo().runningTokens > 0);
  const { runningTokens } = embedder.queueInfo();
  expect(embedder.queueInfo()).toEqual({ ...idle, calls: 1, runningTokens });
  const others = Array.from({ length: 3 }, () => embedder.embed('the fox'));
  await until(() => embedder.queueInfo().waitingTokens === 3 * runningTokens);
  expect(embedder.queueInfo()).toEqual({
    calls: 4,
    waitingCalls: 3,
    waitingTokens: 3 * runningTokens,
    runningTokens,
  });
  release();
  expect(await Promise.all([first, ...others])).toEqual(Array(4).fill(wanted));
  expect(embedder.queueInfo()).toEqual(idle);
});

test('beyond maxWaitingTokens a call is refused at once, and none that was let in is harmed', async () => {
  await using embedder = await Embedder.load(checkpoint, { ...load, maxWaitingTokens: 60 });
  const wanted = await embedder.embed('the fox');
  const release = holdPasses();
  const calls = Array.from({ length: 200 }, () => embedder.embed('the fox'));
  const settled = Promise.allSettled(calls);
  await expect(calls.at(-1)).rejects.toMatchObject({ code: 'E_OVERLOADED', field: 'maxWaitingTokens' });
  await until(() => embedder.queueInfo().runningTokens > 0);
  expect(embedder.queueInfo().calls).toBe(15);
  release();
  const results = await settled;
  const done = results.filter(({ status }) => status === 'fulfilled');
  // 60 tokens are 15 calls of 4 expected tokens.
  expect(done).toHaveLength(15);
  expect(done).toEqual(done.map(() => ({ status: 'fulfilled', value: wanted })));
  expect(embedder.queueInfo()).toEqual(idle);
  // Far more than the limit, but nothing waits.
  expect((await embedder.embed(Array<string>(500).fill('the fox'))).length).toBe(500);
});

test('a deadline ends a call that waits, and takes it out of the queue', async () => {
  await using reranker = await Reranker.load(copyOf('rerank-default'), { device: exactCpu });
  const pair = [{ text: 'a fox', pair: 'the dog' }];
  const wanted = await reranker.scores(pair);
  const release = holdPasses();
  const running = reranker.scores(pair);
  await until(() => reranker.queueInfo().runningTokens > 0);
  const late = reranker.scores(pair, { signal: AbortSignal.timeout(20) });
  const patient = reranker.scores(pair, { signal: AbortSignal.timeout(600_000) });
  await expect(late).rejects.toMatchObject({ code: 'E_ABORTED', cause: { name: 'TimeoutError' } });
  expect(reranker.queueInfo()).toMatchObject({ calls: 2, waitingCalls: 1 });
  release();
  expect(await Promise.all([running, patient])).toEqual([wanted, wanted]);
  expect(reranker.queueInfo()).toEqual(idle);
});

test('a call that fails or is aborted leaves nothing in the queue', async () => {
  await using embedder = await Embedder.load(checkpoint, load);
  holdPasses();
  const controller = new AbortController();
  const calls = Array.from({ length: 5 }, () => embedder.embed('a fox', { signal: controller.signal }));
  await until(() => embedder.queueInfo().runningTokens > 0);
  controller.abort();
  for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'E_ABORTED' });
  await until(() => embedder.queueInfo().runningTokens === 0);
  await expect(embedder.embed('fox '.repeat(600), { truncate: false })).rejects.toMatchObject({
    code: 'E_TOO_LONG',
  });
  expect(embedder.queueInfo()).toEqual(idle);
});

test('a ranking is let in or refused as a whole, before its query is computed', async () => {
  const {
    checkpoint: folder,
    queries,
    documents,
  } = makeRetrieval('colbert-pylate', join(scratch, 'colbert'));
  await using colbert = await LateInteraction.load(folder, { device: exactCpu, maxWaitingTokens: 100 });
  const wanted = await colbert.rank(queries[0]!, documents);
  const release = holdPasses();
  const running = colbert.encodeQueries(queries[0]!);
  await until(() => colbert.queueInfo().runningTokens > 0);
  const waiting = colbert.encodeQueries(queries[0]!);
  await until(() => colbert.queueInfo().waitingTokens > 0);
  const { waitingTokens } = colbert.queueInfo();
  expect(waitingTokens).toBeLessThan(50);
  // Room for the query, not for the documents.
  const passes = jest.mocked(Encoder.prototype.run).mock.calls.length;
  const many = Array<string>(100).fill('the fox and the river');
  await expect(colbert.rank(queries[0]!, many)).rejects.toMatchObject({ code: 'E_OVERLOADED' });
  expect(colbert.queueInfo()).toMatchObject({ calls: 2, waitingTokens });
  expect(jest.mocked(Encoder.prototype.run).mock.calls.length).toBe(passes);
  release();
  await Promise.all([running, waiting]);
  expect(await colbert.rank(queries[0]!, documents)).toEqual(wanted);
  expect(colbert.queueInfo()).toEqual(idle);
});

test('the limit is a number of tokens', async () => {
  await expect(Embedder.load(checkpoint, { ...load, maxWaitingTokens: 0 })).rejects.toMatchObject({
    code: 'E_INVALID_ARGUMENT',
    field: 'maxWaitingTokens',
  });
});
