import { chunkRanges } from '../../ts/batching/chunks';
import { tokenBatches, type TokenBatch } from '../../ts/batching/batches';
import { pipelined } from '../../ts/batching/pipeline';
import { copySliced, nextTurn, sliced } from '../../ts/batching/slices';
import type { TokenizedChunk } from '../../ts/tokenizer/protocol';
import { Random } from '../../ts/demo/random';

const seed = Number(process.env['PADLESS_TEST_SEED'] ?? Date.now() % 1e9);

async function* from<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

function chunkOf(sequences: number[][], tokenTypes?: number[][]): TokenizedChunk {
  return {
    ids: Int32Array.from(sequences.flat()),
    tokenTypes: tokenTypes && Int32Array.from(tokenTypes.flat()),
    lengths: Int32Array.from(sequences, (sequence) => sequence.length),
  };
}

function sequencesOf({ ids, cuSeqlens }: TokenBatch): number[][] {
  return Array.from({ length: cuSeqlens.length - 1 }, (_, i) => [
    ...ids.subarray(cuSeqlens[i], cuSeqlens[i + 1]),
  ]);
}

describe('chunkRanges', () => {
  const lengths = (texts: string[]) => [...chunkRanges(texts)].map(([start, end]) => end - start);

  test.each([
    ['nothing', [], []],
    ['one empty text', [''], [1]],
    ['257 short texts', Array<string>(257).fill('a'), [256, 1]],
    ['a huge text on its own', ['a', 'b'.repeat(1e5), 'c'], [1, 1, 1]],
    [
      'texts after a chunk is full, counted from nothing',
      Array<string>(5).fill('a'.repeat(30000)),
      [2, 2, 1],
    ],
    ['texts that fill a chunk exactly', ['a'.repeat(32768), 'b'.repeat(32768), 'c'], [2, 1]],
  ])('%s', (_name, texts, expected) => {
    expect(lengths(texts)).toEqual(expected);
  });
});

describe('tokenBatches', () => {
  test(`keeps order and budget on random sequences (seed ${seed})`, async () => {
    const random = new Random(seed);
    for (let round = 0; round < 50; round++) {
      const budget = 1 + random.below(40);
      let id = 0;
      const chunks = Array.from({ length: random.below(6) }, () =>
        Array.from({ length: random.below(9) }, () => Array.from({ length: random.below(20) }, () => id++)),
      );
      const batches = await collect(tokenBatches(from(chunks.map((chunk) => chunkOf(chunk))), budget));
      expect(batches.flatMap(sequencesOf)).toEqual(chunks.flat());
      for (const batch of batches) {
        const count = batch.cuSeqlens.length - 1;
        expect(batch.cuSeqlens[0]).toBe(0);
        expect(batch.cuSeqlens[count]).toBe(batch.ids.length);
        expect(count === 1 || batch.ids.length <= budget).toBe(true);
        expect(batch.tokenTypes).toBeUndefined();
      }
      // None of two neighbours could have taken the other's first sequence.
      for (let i = 1; i < batches.length; i++) {
        expect(batches[i - 1]!.ids.length + batches[i]!.cuSeqlens[1]!).toBeGreaterThan(budget);
      }
    }
  });

  test('token types stay with their tokens where a chunk is cut', async () => {
    const chunk = chunkOf([[1, 2], [3, 4, 5], [6]], [[0, 1], [0, 1, 1], [1]]);
    const batches = await collect(tokenBatches(from([chunk, chunkOf([[7], [8]])]), 4));
    expect(
      batches.map(({ ids, tokenTypes }) => ({ ids: [...ids], types: tokenTypes && [...tokenTypes] })),
    ).toEqual([
      { ids: [1, 2], types: [0, 1] },
      { ids: [3, 4, 5, 6], types: [0, 1, 1, 1] },
      { ids: [7, 8], types: undefined },
    ]);
  });

  test('details and the texts of windows stay with their tokens', async () => {
    const lengths = [3, 0, 2, 4, 1, 1];
    const total = 11;
    const count = (first: number, n: number) => Array.from({ length: n }, (_, i) => first + i);
    const whole: TokenizedChunk = {
      ids: Int32Array.from(count(0, total)),
      tokenTypes: undefined,
      lengths: Int32Array.from(lengths),
      details: {
        offsets: Int32Array.from(count(100, 2 * total)),
        words: Int32Array.from(count(200, total)),
        segments: Int8Array.from(count(-5, total)),
      },
      texts: Int32Array.from(count(40, lengths.length)),
    };
    const batches = await collect(tokenBatches(from([whole, whole]), 5));
    const joined = (field: (batch: TokenBatch) => Int32Array | Int8Array) =>
      batches.flatMap((b) => [...field(b)]);
    const twice = (values: number[]) => [...values, ...values];
    expect(batches.length).toBeGreaterThan(4);
    expect(joined(({ details }) => details!.offsets)).toEqual(twice(count(100, 2 * total)));
    expect(joined(({ details }) => details!.words)).toEqual(twice(count(200, total)));
    expect(joined(({ details }) => details!.segments)).toEqual(twice(count(-5, total)));
    expect(joined(({ texts }) => texts!)).toEqual(twice(count(40, lengths.length)));
    for (const { ids, details, texts, cuSeqlens } of batches) {
      expect([details!.offsets.length / 2, details!.words.length]).toEqual([ids.length, ids.length]);
      expect(texts!.length).toBe(cuSeqlens.length - 1);
    }
  });

  test('fills in token types where only some chunks have them', async () => {
    const chunks = [chunkOf([[1, 2]]), chunkOf([[3, 4, 5], [6]], [[0, 1, 1], [0]]), chunkOf([[7]])];
    const batches = await collect(tokenBatches(from(chunks), 5));
    expect(batches.map(({ tokenTypes }) => tokenTypes && [...tokenTypes])).toEqual([
      [0, 0, 0, 1, 1],
      [0, 0],
    ]);
  });

  test('keeps empty sequences', async () => {
    const batches = await collect(tokenBatches(from([chunkOf([[], [1], []])]), 1));
    expect(batches.map(sequencesOf)).toEqual([[[], [1], []]]);
  });
});

describe('pipelined', () => {
  function recorder(fail?: { start?: number; finish?: number }) {
    const log: string[] = [];
    let running = 0;
    let most = 0;
    return {
      log,
      most: () => most,
      running: () => running,
      stages: {
        depth: 2,
        start: async (item: number) => {
          most = Math.max(most, ++running);
          log.push(`start ${item}`);
          await nextTurn();
          running--;
          if (item === fail?.start) throw new Error(`start ${item} failed`);
          return item * 10;
        },
        finish: async (result: number) => {
          log.push(`finish ${result}`);
          if (result === fail?.finish) throw new Error(`finish ${result} failed`);
        },
        cancel: (error: unknown) => log.push(`cancel ${(error as Error).message}`),
      },
    };
  }

  test('starts ahead by the depth and finishes in order', async () => {
    const record = recorder();
    await pipelined(from([1, 2, 3, 4]), record.stages);
    expect(record.most()).toBe(2);
    expect(record.log.filter((line) => line.startsWith('finish'))).toEqual([
      'finish 10',
      'finish 20',
      'finish 30',
      'finish 40',
    ]);
    expect(record.log.slice(0, 3)).toEqual(['start 1', 'start 2', 'finish 10']);
  });

  test.each([
    ['start', { start: 2 }, 'start 2 failed'],
    ['finish', { finish: 10 }, 'finish 10 failed'],
  ])('a failing %s stops everything and leaves nothing running', async (_stage, fail, message) => {
    const record = recorder(fail);
    let open = true;
    async function* items() {
      try {
        for (let i = 1; i < 9; i++) yield i;
      } finally {
        open = false;
      }
    }
    await expect(pipelined(items(), record.stages)).rejects.toThrow(message);
    expect(record.running()).toBe(0);
    expect(open).toBe(false);
    expect(record.log.filter((line) => line.startsWith('cancel'))).toEqual([`cancel ${message}`]);
    expect(record.log.filter((line) => line.startsWith('start')).length).toBeLessThanOrEqual(3);
  });

  test('a failing source rejects after what runs has settled', async () => {
    const record = recorder();
    async function* items() {
      yield 1;
      throw new Error('source failed');
    }
    await expect(pipelined(items(), record.stages)).rejects.toThrow('source failed');
    expect(record.running()).toBe(0);
  });
});

describe('slices', () => {
  test('timers run while a long work is done', async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await sliced(
      (function* () {
        for (let step = 0; step < 1e8 && ticks < 6; step++) yield;
      })(),
    );
    clearInterval(timer);
    expect(ticks).toBe(6);
  });

  test('copies across slice borders', async () => {
    const source = Float32Array.from({ length: (1 << 17) * 2 + 3 }, (_, i) => i % 1000);
    const target = new Float32Array(source.length + 7);
    await copySliced(target, source, 5);
    expect(Buffer.from(target.buffer, 20, source.byteLength).equals(Buffer.from(source.buffer))).toBe(true);
    expect([...target.subarray(0, 5), ...target.subarray(-2)]).toEqual(Array(7).fill(0));
  });
});
