// Forwards that a GPU replays as graphs have the bits of those that it launches kernel by kernel.
import { device } from '../../ts/device';
import { Encoder, type EncoderResult } from '../../ts/encoder';
import { PackedBatch } from '../../ts/packed';
import type { Compute } from '../../ts/weight';
import { testDevices } from '../support/devices';
import { readGolden, type Golden } from '../support/goldens';

/** Each way in which a sequence's rows depend on where its tokens are. */
const fixtures = [
  'bert-head-64', // a position table, token types
  'modernbert', // two ropes, windows
  'qwen3', // causal, shared key heads, norms of heads
  'jina-bert', // ALiBi
  'mpnet', // relative buckets
  'deberta-v3', // disentangled
  'albert', // shared layers, projected embeddings
  'nomic-moe', // experts, routed on the device
  'deberta-narrow', // projected before their norm
];

/** Lengths of batches that share capacities: long ones first, then shorter ones over what those have left. */
const batches = [[44, 50], [33, 32], [70, 3], [0, 66], [16], [1], [3, 0, 1, 2]];

/** Sequences of these lengths out of a fixture's tokens; `from` says where they begin. */
function cut(golden: Golden, lengths: readonly number[], from: number, typed: boolean): PackedBatch {
  const tokens = golden.sequences.flatMap(({ ids }) => ids);
  let next = from;
  const sequences = lengths.map((length) => Array.from({ length }, () => tokens[next++ % tokens.length]!));
  const tokenTypes = sequences.map((ids) => ids.map((id) => id % 2));
  return PackedBatch.fromSequences(sequences, typed ? { tokenTypes } : {});
}

async function runAll(encoder: Encoder, golden: Golden): Promise<EncoderResult[]> {
  const typed = golden.sequences.some(({ tokenTypes }) => tokenTypes);
  const results: EncoderResult[] = [];
  for (let round = 0; round < 3; round++) {
    for (const [index, lengths] of batches.entries()) {
      const batch = cut(golden, lengths, 17 * index + round, typed && (index + round) % 2 === 0);
      results.push(await encoder.run(batch, { outputs: ['lastHiddenState'] }));
    }
  }
  return results;
}

describe.each(testDevices())('on $label', ({ request, reducedPrecisions }) => {
  const isGpu = !request.name.startsWith('cpu');
  const target = device(request);

  if (!isGpu) {
    test('a CPU has none', () => {
      expect(device({ ...request, graphs: true }).graphInfo()).toEqual({
        recorded: 0,
        replayed: 0,
        refused: 0,
      });
    });
    return;
  }

  const cases: [string, Compute][] = [
    ...fixtures.map((name): [string, Compute] => [name, reducedPrecisions[0]!]),
    ['bert-head-64', 'f32'],
    ['deberta-v3', 'f32'],
    ...(reducedPrecisions.includes('fp8') ? ([['bert-head-64', 'fp8']] as [string, Compute][]) : []),
  ];
  test.each(cases)('%s in %s: the same bits as kernel by kernel', async (name, dtype) => {
    const golden = readGolden(name);
    using replaying = await Encoder.load(golden.checkpoint, { dtype, device: request });
    using launching = await Encoder.load(golden.checkpoint, { dtype, device: { ...request, graphs: false } });
    const before = target.graphInfo();
    const results = await runAll(replaying, golden);
    const after = target.graphInfo();
    expect(results).toEqual(await runAll(launching, golden));
    expect(after.replayed - before.replayed).toBeGreaterThanOrEqual(15);
    expect(after.recorded - before.recorded).toBeLessThan(after.replayed - before.replayed);
    expect(after.refused).toBe(before.refused);
    expect(device({ ...request, graphs: false }).graphInfo().recorded).toBe(0);
  });

  test.each(['bert-head-64', 'nomic-moe'])('%s: the same bits where kernels overlap', async (name) => {
    const golden = readGolden(name);
    const dtype = reducedPrecisions[0]!;
    using plain = await Encoder.load(golden.checkpoint, { dtype, device: { ...request, graphs: false } });
    const expected = await runAll(plain, golden);
    for (const graphs of [true, false]) {
      const overlapping = { ...request, graphs, overlap: true };
      using encoder = await Encoder.load(golden.checkpoint, { dtype, device: overlapping });
      expect(await runAll(encoder, golden)).toEqual(expected);
      expect(device(overlapping).graphInfo()).toMatchObject({ refused: 0 });
    }
  });

  // A pooled head in the graph, with the pooler; one behind it whose rows the host looks for; means of tokens' logits.
  test.each(['bert-sequence', 'qwen3-sequence', 'eurobert-sequence-mean'])(
    '%s: vectors and logits of sequences have the same bits as kernel by kernel',
    async (name) => {
      const golden = readGolden(name);
      using replaying = await Encoder.load(golden.checkpoint, { device: request });
      using launching = await Encoder.load(golden.checkpoint, { device: { ...request, graphs: false } });
      const pooler = golden.outputs.includes('pooler_output') ? (['poolerOutput'] as const) : [];
      const run = (encoder: Encoder, batch: PackedBatch) =>
        encoder.run(batch, {
          outputs: ['sentenceEmbedding', 'logits', ...pooler],
          pooling: ['mean', 'max', 'cls'],
          dimensions: 20,
          normalize: true,
        });
      const before = target.graphInfo();
      for (const [index, lengths] of [
        [9, 3, 1, 4],
        [2, 20, 7],
        [0, 11, 6, 0],
        [5, 5, 6, 5],
      ].entries()) {
        const batch = cut(golden, lengths, 5 * index, false);
        expect(await run(replaying, batch)).toEqual(await run(launching, batch));
      }
      expect(target.graphInfo()).toMatchObject({
        recorded: before.recorded + 1,
        replayed: before.replayed + 3,
        refused: before.refused,
      });
    },
  );

  test('each number of layers is a graph of its own', async () => {
    const golden = readGolden('qwen3');
    using encoder = await Encoder.load(golden.checkpoint, { device: request });
    const batch = cut(golden, [20, 9], 0, false);
    const run = (layers: number) => encoder.run(batch, { outputs: ['lastHiddenState'], layers });
    const [one, two] = [await run(1), await run(2)];
    expect(one).not.toEqual(two);
    const { replayed } = target.graphInfo();
    for (let round = 0; round < 3; round++) {
      expect(await run(1)).toEqual(one);
      expect(await run(2)).toEqual(two);
    }
    expect(target.graphInfo().replayed - replayed).toBe(6);
  });

  test('a convolution, whose windows the host gathers, is launched kernel by kernel', async () => {
    const golden = readGolden('deberta-v2-conv');
    using encoder = await Encoder.load(golden.checkpoint, { device: request });
    const before = target.graphInfo();
    const batch = cut(golden, [20, 9], 0, false);
    const first = await encoder.run(batch, { outputs: ['lastHiddenState'] });
    for (let round = 0; round < 2; round++) {
      expect(await encoder.run(batch, { outputs: ['lastHiddenState'] })).toEqual(first);
    }
    expect(target.graphInfo()).toEqual(before);
  });

  test('two handles of one model at once, one of them disposed while it works', async () => {
    const golden = readGolden('bert-head-64');
    const load = () => Encoder.load(golden.checkpoint, { device: request });
    const [first, second] = [await load(), await load()];
    const [a, b] = [cut(golden, [25, 30], 0, false), cut(golden, [40, 8], 9, false)];
    const run = (encoder: Encoder, batch: PackedBatch) =>
      encoder.run(batch, { outputs: ['lastHiddenState'] });
    const [expectedA, expectedB] = [await run(first, a), await run(first, b)];
    for (let round = 0; round < 3; round++) {
      const results = await Promise.all([run(first, a), run(second, b), run(first, b), run(second, a)]);
      expect(results).toEqual([expectedA, expectedB, expectedB, expectedA]);
    }
    const last = run(second, a);
    second.dispose();
    await last.catch((error: unknown) => expect(error).toMatchObject({ code: 'E_DISPOSED' }));
    expect(await run(first, a)).toEqual(expectedA);
    first.dispose();
  });
});
