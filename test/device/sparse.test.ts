// Sparse vectors and MaxSim on every device, against loops in float64 over what they are made of.
import { Encoder } from '../../ts/encoder';
import { device as openDevice } from '../../ts/device';
import { Random } from '../../ts/demo/random';
import { PackedBatch } from '../../ts/packed';
import type { SparseRows } from '../../ts/run';
import { maxSim, type PackedVectors } from '../../ts/tasks/max_sim';
import { testDevices } from '../support/devices';
import { packGolden, readGolden, relativeError } from '../support/goldens';

const seed = Number(process.env['PADLESS_TEST_SEED'] ?? Date.now() % 1e9);

type Entry = [index: number, value: number];

function entriesOf({ offsets, indices, values }: SparseRows): Entry[][] {
  return Array.from({ length: offsets.length - 1 }, (_, b) =>
    Array.from(indices.subarray(offsets[b], offsets[b + 1]), (index, i): Entry => [
      index,
      values[offsets[b]! + i]!,
    ]),
  );
}

/** What `sparse` must be of the logits [T, width] of a batch. */
function sparseOf(
  logits: Float32Array,
  width: number,
  { cuSeqlens }: PackedBatch,
  topK: number,
  logs: number,
): Entry[][] {
  return Array.from({ length: cuSeqlens.length - 1 }, (_, b) => {
    const entries: Entry[] = [];
    for (let column = 0; column < width; column++) {
      let best = 0;
      for (let t = cuSeqlens[b]!; t < cuSeqlens[b + 1]!; t++)
        best = Math.max(best, logits[t * width + column]!);
      for (let i = 0; i < logs; i++) best = Math.log1p(best);
      if (best > 0) entries.push([column, best]);
    }
    const kept =
      topK === 0 ? entries : [...entries].sort((x, y) => y[1] - x[1] || x[0] - y[0]).slice(0, topK);
    return kept.sort((x, y) => x[0] - y[0]);
  });
}

function vectorsOf(random: Random, lengths: number[], dimensions: number): PackedVectors {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, i) => (offsets[i + 1] = offsets[i]! + length));
  const data = Float32Array.from({ length: offsets.at(-1)! * dimensions }, () => random.normal());
  return { data, dimensions, offsets };
}

function maxSimLoops(queries: PackedVectors, documents: PackedVectors): Float64Array {
  const dim = queries.dimensions;
  const rows = queries.offsets.length - 1;
  const columns = documents.offsets.length - 1;
  const scores = new Float64Array(rows * columns);
  for (let q = 0; q < rows; q++) {
    for (let d = 0; d < columns; d++) {
      const [begin, end] = [documents.offsets[d]!, documents.offsets[d + 1]!];
      for (let i = queries.offsets[q]!; i < queries.offsets[q + 1]! && begin < end; i++) {
        let best = -Infinity;
        for (let j = begin; j < end; j++) {
          let dot = 0;
          for (let k = 0; k < dim; k++) dot += queries.data[i * dim + k]! * documents.data[j * dim + k]!;
          best = Math.max(best, dot);
        }
        scores[q * columns + d]! += best;
      }
    }
  }
  return scores;
}

describe.each(testDevices())('on $label', ({ request }) => {
  test.each(['bert-masked-lm', 'distilbert-masked-lm'])(
    '%s: sparse is made of the largest logits',
    async (name) => {
      const golden = readGolden(name);
      using encoder = await Encoder.load(golden.checkpoint, { device: request });
      const width = encoder.head!.width;
      const batch = packGolden(golden, [0, 3, 1, 2, 3]);
      const { logits } = await encoder.run(batch, { outputs: ['logits'] });
      for (const sparse of [
        { topK: 0, logs: 1 },
        { topK: 3, logs: 1 },
        { topK: 0, logs: 2 },
        { topK: 1000, logs: 1 },
      ]) {
        const { sparse: rows } = await encoder.run(batch, { outputs: ['sparse'], sparse });
        const actual = entriesOf(rows!);
        const expected = sparseOf(logits!, width, batch, sparse.topK, sparse.logs);
        expect(actual.map((row) => row.map(([index]) => index))).toEqual(
          expected.map((row) => row.map(([index]) => index)),
        );
        const values = (all: Entry[][]) => all.flatMap((row) => row.map(([, value]) => value));
        expect(relativeError(values(actual), values(expected))).toBeLessThan(1e-6);
      }
      expect(
        entriesOf((await encoder.run(batch, { outputs: ['sparse'] })).sparse!)[0]!.length,
      ).toBeGreaterThan(0);
    },
  );

  test('sparse of empty sequences, of none, and without logits of tokens', async () => {
    const golden = readGolden('bert-masked-lm');
    using encoder = await Encoder.load(golden.checkpoint, { device: request });
    const ids = golden.sequences[1]!.ids;
    const batch = PackedBatch.fromSequences([[], ids, [], []]);
    const { sparse } = await encoder.run(batch, { outputs: ['sparse'] });
    const alone = await encoder.run(PackedBatch.fromSequences([ids]), { outputs: ['sparse'] });
    expect([...sparse!.offsets]).toEqual([
      0,
      0,
      sparse!.indices.length,
      sparse!.indices.length,
      sparse!.indices.length,
    ]);
    expect(sparse!.values).toEqual(alone.sparse!.values);
    const none = await encoder.run(PackedBatch.fromSequences([]), { outputs: ['sparse'] });
    expect([...none.sparse!.offsets]).toEqual([0]);
    using classes = await Encoder.load(readGolden('bert-sequence').checkpoint, { device: request });
    await expect(classes.run(batch, { outputs: ['sparse'] })).rejects.toMatchObject({
      code: 'E_UNSUPPORTED',
    });
  });

  // Similarities are computed for 2^23 / (query vectors) document vectors at a time: the last case has several
  // such blocks, and documents that lie in two of them.
  test.each([
    ['one of one', [1], [1], 1],
    ['odd sizes', [3, 0, 7], [5, 1, 0, 33, 2], 13],
    ['wide', [32], [17, 64, 128], 128],
    ['no document', [4], [], 8],
    ['no query', [], [4], 8],
    ['several blocks', [1500, 397], [3000, 1, 0, 4000, 2500, 0], 3],
  ])(`maxSim, %s (seed ${seed})`, async (_name, queryLengths, documentLengths, dimensions) => {
    const random = new Random(seed);
    const queries = vectorsOf(random, queryLengths, dimensions);
    const documents = vectorsOf(random, documentLengths, dimensions);
    const device = openDevice(request);
    using stream = device.createStream();
    const scores = await maxSim(queries, documents, stream, undefined);
    const expected = maxSimLoops(queries, documents);
    expect(scores.length).toBe(expected.length);
    if (expected.length > 0) expect(relativeError(scores, expected)).toBeLessThan(1e-5);
  });

  test('a document has the same score alone and among others', async () => {
    const random = new Random(seed);
    const queries = vectorsOf(random, [9], 20);
    const lengths = [40, 3, 77];
    const documents = vectorsOf(random, lengths, 20);
    using stream = openDevice(request).createStream();
    const together = await maxSim(queries, documents, stream, undefined);
    for (let d = 0; d < lengths.length; d++) {
      const data = documents.data.subarray(documents.offsets[d]! * 20, documents.offsets[d + 1]! * 20);
      const alone = { data, dimensions: 20, offsets: Int32Array.of(0, lengths[d]!) };
      expect((await maxSim(queries, alone, stream, undefined))[0]).toBe(together[d]);
    }
  });

  test('maxSim refuses vectors of other sizes, and an abort', async () => {
    const random = new Random(seed);
    using stream = openDevice(request).createStream();
    const [a, b] = [vectorsOf(random, [2], 8), vectorsOf(random, [2], 4)];
    await expect(maxSim(a, b, stream, undefined)).rejects.toMatchObject({
      code: 'E_INVALID_ARGUMENT',
      field: 'dimensions',
    });
    const wrong = { ...a, offsets: Int32Array.of(0, 3) };
    await expect(maxSim(a, wrong, stream, undefined)).rejects.toMatchObject({ code: 'E_INVALID_ARGUMENT' });
    await expect(maxSim(a, a, stream, AbortSignal.abort())).rejects.toMatchObject({ code: 'E_ABORTED' });
  });
});
