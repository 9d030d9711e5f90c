import type { TokenBatch } from '../../ts/batching/batches';
import type { PassRequest } from '../../ts/batching/joined_requests';
import { SharedPasses } from '../../ts/batching/shared_passes';
import { PadlessError } from '../../ts/errors';
import type { PackedBatch } from '../../ts/packed';
import type { EncoderResult, RunOptions } from '../../ts/run';

/** A pass that the model under test has been given, to be ended by the test. */
interface Pass {
  batch: PackedBatch;
  options: RunOptions;
  end: () => void;
  fail: (error: unknown) => void;
}

/** The row of a sequence: its first token, its length, and what is skipped; of logits of tokens: the token. */
function rowsOf({ ids, cuSeqlens, lengths }: PackedBatch, { skip, logitRows }: RunOptions): Float32Array {
  if (logitRows) return Float32Array.from(logitRows, (t) => ids[t]!);
  return Float32Array.from(
    [...lengths].flatMap((length, b) => [ids[cuSeqlens[b]!]!, length, skip?.[b] ?? 0]),
  );
}

/** Of projections the token, twice; of sparse vectors one entry for each token of the sequence. */
function resultOf(batch: PackedBatch, options: RunOptions): EncoderResult {
  const { ids, cuSeqlens } = batch;
  const result: EncoderResult = {};
  for (const output of options.outputs) {
    if (output === 'projections') {
      const rows = Float32Array.from(options.projectionRows ?? ids.keys(), (t) => ids[t]!);
      result.projections = [rows, Float32Array.from([...rows].flatMap((row) => [row, -row]))];
    } else if (output === 'sparse') {
      result.sparse = { offsets: cuSeqlens.slice(), indices: ids.slice(), values: Float32Array.from(ids) };
    } else result[output] = rowsOf(batch, options);
  }
  return result;
}

class FakeModel {
  readonly passes: Pass[] = [];

  readonly run = (batch: PackedBatch, options: RunOptions): Promise<EncoderResult> =>
    new Promise((resolve, reject) => {
      options.signal!.addEventListener('abort', () => reject(new PadlessError('E_ABORTED', 'stopped')));
      this.passes.push({
        batch,
        options,
        end: () => resolve(resultOf(batch, options)),
        fail: reject,
      });
    });

  /** Lengths of the sequences of each pass so far. */
  get lengths(): number[][] {
    return this.passes.map(({ batch }) => [...batch.lengths]);
  }
}

const LIMIT = 20;
const turn = () => new Promise((resolve) => setImmediate(resolve));

function batchOf(...lengths: number[]): TokenBatch {
  const cuSeqlens = Int32Array.from([0, ...lengths]);
  for (let b = 1; b < cuSeqlens.length; b++) cuSeqlens[b]! += cuSeqlens[b - 1]!;
  const ids = Int32Array.from({ length: cuSeqlens.at(-1)! }, (_, t) => 100 * lengths[0]! + t);
  return { ids, cuSeqlens, tokenTypes: undefined };
}

function setUp(join = true) {
  const model = new FakeModel();
  const passes = new SharedPasses(model.run, { depth: 2, join });
  const askAll = (
    lengths: number[],
    request: Partial<PassRequest> = {},
    signal = new AbortController().signal,
    batchTokens = LIMIT,
  ) => {
    const result = passes.run(
      batchOf(...lengths),
      { rows: { sentenceEmbedding: lengths.length }, ...request },
      { batchTokens, signal },
    );
    result.catch(() => {});
    return result;
  };
  const ask = (...args: Parameters<typeof askAll>) => {
    const rows = askAll(...args).then(({ sentenceEmbedding, logits }) => sentenceEmbedding ?? logits!);
    rows.catch(() => {});
    return rows;
  };
  return { model, passes, ask, askAll };
}

test('a batch that finds nothing running starts at once; those that wait are joined and get their own rows', async () => {
  const { model, ask } = setUp();
  const first = ask([3]);
  expect(model.lengths).toEqual([[3]]);
  const others = [ask([2]), ask([1, 4]), ask([5], { skip: Int32Array.of(1) })];
  model.passes[0]!.end();
  expect(await first).toEqual(Float32Array.of(300, 3, 0));
  expect(model.lengths).toEqual([[3], [2, 1, 4, 5]]);
  model.passes[1]!.end();
  const rows = await Promise.all(others);
  expect(rows).toEqual([
    Float32Array.of(200, 2, 0),
    Float32Array.of(100, 1, 0, 101, 4, 0),
    Float32Array.of(500, 5, 1),
  ]);
  for (const { buffer, byteLength } of rows) expect(buffer.byteLength).toBe(byteLength);
});

test('a pass has at most its tokens, and the next is queued when it is half full', async () => {
  const { model, ask } = setUp();
  void ask([1]);
  void ask([9]);
  expect(model.lengths).toEqual([[1]]);
  void ask([2]);
  expect(model.lengths).toEqual([[1], [9, 2]]);
  // Two passes are the most at once.
  for (const length of [9, 9, 3, 1]) void ask([length]);
  expect(model.lengths).toHaveLength(2);
  model.passes[0]!.end();
  await turn();
  // 9 + 9 + 3 are more than 20: nothing overtakes the 3.
  expect(model.lengths.slice(2)).toEqual([[9, 9]]);
  model.passes[1]!.end();
  model.passes[2]!.end();
  await turn();
  expect(model.lengths.slice(3)).toEqual([[3, 1]]);
});

test('turns are taken by batch: big batches run alone and are not passed by', async () => {
  const { model, ask } = setUp();
  void ask([19]);
  void ask([18]);
  void ask([1]);
  void ask([17]);
  void ask([2]);
  void ask([30]);
  void ask([3]);
  for (let pass = 0; pass < 5; pass++) {
    await turn();
    model.passes[pass]!.end();
  }
  await turn();
  expect(model.lengths).toEqual([[19], [18], [1, 2, 3], [17], [30]]);
});

test('only batches with equal requests share a pass', async () => {
  const { model, ask } = setUp();
  const { signal } = new AbortController();
  void ask([15]);
  void ask([16]);
  const requests: Partial<PassRequest>[] = [
    {},
    { rows: { logits: 1 } },
    { rows: { logits: 1 }, logitRows: Int32Array.of(0) },
    { keyCounts: Int32Array.of(1) },
    { options: { layers: 1 } },
    { options: { adapter: 'a' } },
    { options: { pooling: ['cls'] } },
    { options: { pooling: ['cls', 'mean'] } },
    { options: { dimensions: 2 } },
    { options: { normalize: true } },
    { rows: { sparse: 1 }, options: { sparse: { topK: 0, logs: 1 } } },
    { rows: { sparse: 1 }, options: { sparse: { topK: 0, logs: 2 } } },
    { rows: { sentenceEmbedding: 1, sparse: 1 } },
  ];
  for (const length of [1, 2]) for (const request of requests) void ask([length], request);
  void ask([1], {}, signal, LIMIT + 1);
  for (let pass = 0; pass < requests.length + 3; pass++) {
    model.passes[pass]!.end();
    await turn();
  }
  expect(model.lengths.slice(2)).toEqual([...requests.map(() => [1, 2]), [1]]);
  const { outputs, layers, adapter, pooling, dimensions, normalize } = model.passes[6]!.options;
  expect({ outputs, layers, adapter, pooling, dimensions, normalize }).toEqual({
    outputs: ['sentenceEmbedding'],
    layers: 1,
  });
});

test('rows of tokens are those of the joined batch', async () => {
  const { model, ask } = setUp();
  void ask([15]);
  const rows = [
    ask([3, 2], { rows: { logits: 2 }, logitRows: Int32Array.of(1, 4) }),
    ask([1], { rows: { logits: 0 }, logitRows: new Int32Array(0) }),
    ask([4], { rows: { logits: 1 }, logitRows: Int32Array.of(3) }),
  ];
  model.passes[0]!.end();
  await turn();
  expect(model.passes[1]!.options.logitRows).toEqual(Int32Array.of(1, 4, 9));
  model.passes[1]!.end();
  expect(await Promise.all(rows)).toEqual([
    Float32Array.of(301, 304),
    new Float32Array(0),
    Float32Array.of(403),
  ]);
});

test('several outputs are shared out: vectors, projections of some tokens or of all, sparse vectors', async () => {
  const { model, ask, askAll } = setUp();
  void ask([15]);
  const rows = (sequences: number, projections: number) => ({
    rows: { sentenceEmbedding: sequences, projections, sparse: sequences },
  });
  const shares = [
    askAll([2], { ...rows(1, 1), projectionRows: Int32Array.of(1) }),
    askAll([1, 2], rows(2, 3)),
    askAll([3], { ...rows(1, 0), projectionRows: new Int32Array(0) }),
  ];
  model.passes[0]!.end();
  await turn();
  expect(model.passes[1]!.options.projectionRows).toEqual(Int32Array.of(1, 2, 3, 4));
  model.passes[1]!.end();
  expect(await Promise.all(shares)).toEqual([
    {
      sentenceEmbedding: Float32Array.of(200, 2, 0),
      projections: [Float32Array.of(201), Float32Array.of(201, -201)],
      sparse: {
        offsets: Int32Array.of(0, 2),
        indices: Int32Array.of(200, 201),
        values: Float32Array.of(200, 201),
      },
    },
    {
      sentenceEmbedding: Float32Array.of(100, 1, 0, 101, 2, 0),
      projections: [Float32Array.of(100, 101, 102), Float32Array.of(100, -100, 101, -101, 102, -102)],
      sparse: {
        offsets: Int32Array.of(0, 1, 3),
        indices: Int32Array.of(100, 101, 102),
        values: Float32Array.of(100, 101, 102),
      },
    },
    {
      sentenceEmbedding: Float32Array.of(300, 3, 0),
      projections: [new Float32Array(0), new Float32Array(0)],
      sparse: {
        offsets: Int32Array.of(0, 3),
        indices: Int32Array.of(300, 301, 302),
        values: Float32Array.of(300, 301, 302),
      },
    },
  ]);
});

test('counts of keys are those of the joined sequences', async () => {
  const { model, ask } = setUp();
  void ask([15]);
  void ask([3], { keyCounts: Int32Array.of(2) });
  void ask([1, 4], { keyCounts: Int32Array.of(1, 3) });
  model.passes[0]!.end();
  await turn();
  expect(model.passes[1]!.options.keyCounts).toEqual(Int32Array.of(2, 1, 3));
});

test('a call that is aborted leaves before the pass, and during it alone', async () => {
  const { model, ask } = setUp();
  const [early, late, last] = [new AbortController(), new AbortController(), new AbortController()];
  const running = ask([1]);
  const waits = ask([2], {}, early.signal);
  const leaves = ask([3], {}, late.signal);
  const stays = ask([4], {}, last.signal);
  early.abort();
  await expect(waits).rejects.toMatchObject({ code: 'E_ABORTED' });
  model.passes[0]!.end();
  await running;
  expect(model.lengths).toEqual([[1], [3, 4]]);
  late.abort();
  await expect(leaves).rejects.toMatchObject({ code: 'E_ABORTED' });
  expect(model.passes[1]!.options.signal!.aborted).toBe(false);
  model.passes[1]!.end();
  expect(await stays).toEqual(Float32Array.of(400, 4, 0));
});

test('a pass that every call has left is stopped, and the next begins', async () => {
  const { model, passes, ask } = setUp();
  const controller = new AbortController();
  const left = ask([1], {}, controller.signal);
  const next = ask([2]);
  controller.abort();
  await expect(left).rejects.toMatchObject({ code: 'E_ABORTED' });
  expect(model.passes[0]!.options.signal!.aborted).toBe(true);
  await turn();
  model.passes[1]!.end();
  expect(await next).toEqual(Float32Array.of(200, 2, 0));
  await passes.settled();
  await expect(ask([1], {}, controller.signal)).rejects.toMatchObject({ code: 'E_ABORTED' });
  expect(model.passes).toHaveLength(2);
});

test.each(['E_OUT_OF_MEMORY', 'E_TOO_LONG', 'E_INVALID_ARGUMENT'] as const)(
  'after %s a joined pass is tried apart, before what waits, and only the culprit fails',
  async (code) => {
    const { model, ask } = setUp();
    const controller = new AbortController();
    void ask([1]);
    const [fits, fails, leaves] = [ask([2]), ask([3]), ask([4], {}, controller.signal)];
    model.passes[0]!.end();
    await turn();
    const later = ask([5]);
    controller.abort();
    await expect(leaves).rejects.toMatchObject({ code: 'E_ABORTED' });
    model.passes[1]!.fail(new PadlessError(code, 'too much'));
    await turn();
    expect(model.lengths.slice(1, 3)).toEqual([[2, 3, 4], [5]]);
    model.passes[2]!.end();
    await later;
    await turn();
    expect(model.lengths.slice(3)).toEqual([[2], [3]]);
    model.passes[4]!.fail(new PadlessError(code, 'alone too'));
    model.passes[3]!.end();
    expect(await fits).toEqual(Float32Array.of(200, 2, 0));
    await expect(fails).rejects.toMatchObject({ code, message: 'alone too' });
  },
);

test('another failure reaches every call of the pass', async () => {
  const { model, ask } = setUp();
  void ask([1]);
  const joined = [ask([2]), ask([3])];
  model.passes[0]!.end();
  await turn();
  model.passes[1]!.fail(new PadlessError('E_DEVICE', 'gone'));
  for (const rows of joined) await expect(rows).rejects.toMatchObject({ code: 'E_DEVICE' });
  const after = ask([4]);
  model.passes[2]!.end();
  expect(await after).toEqual(Float32Array.of(400, 4, 0));
});

test('the load counts tokens that wait and run, and calls that run, without those that have left', async () => {
  const { model, passes, ask } = setUp();
  const controller = new AbortController();
  const call = new AbortController().signal;
  void ask([4, 1]);
  void ask([2], {}, controller.signal);
  void ask([3], {}, call);
  void ask([6], {}, call);
  expect(passes.load()).toEqual({ waitingTokens: 0, runningTokens: 16, runningCalls: 3 });
  void ask([7]);
  void ask([1]);
  expect(passes.load()).toEqual({ waitingTokens: 8, runningTokens: 16, runningCalls: 3 });
  controller.abort();
  expect(passes.load()).toEqual({ waitingTokens: 8, runningTokens: 16, runningCalls: 2 });
  model.passes[1]!.fail(new PadlessError('E_OUT_OF_MEMORY', 'too much'));
  await turn();
  // Tried apart: the 3 runs alone, the 6 and the others wait.
  expect(passes.load()).toEqual({ waitingTokens: 14, runningTokens: 8, runningCalls: 2 });
  while (passes.load().runningTokens > 0) {
    model.passes.forEach(({ end }) => end());
    await turn();
  }
  expect(passes.load()).toEqual({ waitingTokens: 0, runningTokens: 0, runningCalls: 0 });
});

test('without joining each batch is a pass of its own', async () => {
  const { model, ask } = setUp(false);
  for (const length of [1, 2, 3]) void ask([length]);
  expect(model.lengths).toEqual([[1], [2]]);
  model.passes[0]!.end();
  await turn();
  expect(model.lengths).toEqual([[1], [2], [3]]);
});
