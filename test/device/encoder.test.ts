// The forward against transformers in float64, on every device and instruction set of this machine.
import { Encoder } from '../../ts/encoder';
import { PackedBatch } from '../../ts/packed';
import { modelTypes } from '../../ts/models/families';
import {
  goldenNames,
  multiplyProbe,
  packGolden,
  pickRows,
  readGolden,
  relativeError,
  type Golden,
} from '../support/goldens';
import { isEmulated, testDevices } from '../support/devices';
import { recordError } from '../support/measured';

const tolerance = 1e-5;

interface SequenceOutputs {
  hidden: Float32Array;
  pooled: Float32Array | undefined;
}

async function run(encoder: Encoder, golden: Golden, indices: readonly number[]): Promise<SequenceOutputs[]> {
  const hasPooler = golden.outputs.includes('pooler_output');
  const batch = packGolden(golden, indices);
  const result = await encoder.run(batch, {
    outputs: hasPooler ? ['lastHiddenState', 'poolerOutput'] : ['lastHiddenState'],
    ...(golden.adapter !== undefined && { adapter: golden.adapter }),
  });
  const width = encoder.spec.hiddenSize;
  return indices.map((_, i) => ({
    hidden: result.lastHiddenState!.slice(batch.cuSeqlens[i]! * width, batch.cuSeqlens[i + 1]! * width),
    pooled: result.poolerOutput?.slice(i * width, (i + 1) * width),
  }));
}

function worstError(golden: Golden, index: number, outputs: SequenceOutputs, width: number): number {
  const expected = (name: string) => golden.expected.get(`${index}.${name}`)!.data;
  const probe = golden.expected.get('probe.last_hidden_state')!.data;
  return Math.max(
    relativeError(
      pickRows(outputs.hidden, width, golden.sequences[index]!.rows),
      expected('last_hidden_state'),
    ),
    relativeError(multiplyProbe(outputs.hidden, width, probe), expected('last_hidden_state.probed')),
    outputs.pooled ? relativeError(outputs.pooled, expected('pooler_output')) : 0,
  );
}

/** The sequences to run: on the emulator, which is slow, the long ones of one fixture only. */
function indicesOf(golden: Golden): number[] {
  const limit = isEmulated && golden.name !== 'bert' ? 150 : Infinity;
  return [...golden.sequences.keys()].filter((index) => golden.sequences[index]!.ids.length <= limit);
}

function shuffled<T>(values: readonly T[], seed: number): T[] {
  const result = [...values];
  let state = seed >>> 0;
  for (let i = result.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = state % (i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}

describe.each(testDevices())('on $label', ({ request, label }) => {
  test.each(goldenNames(modelTypes))(
    '%s agrees with transformers in float64, alone and in batches',
    async (name) => {
      const golden = readGolden(name);
      using encoder = await Encoder.load(golden.checkpoint, { device: request });
      const width = encoder.spec.hiddenSize;
      const alone = new Map<number, SequenceOutputs>();
      for (const index of indicesOf(golden)) alone.set(index, (await run(encoder, golden, [index]))[0]!);
      const errors = [...alone].map(([index, outputs]) => ({
        sequence: golden.sequences[index]!.name,
        error: worstError(golden, index, outputs, width),
      }));
      const error = Math.max(...errors.map((one) => one.error));
      recordError({ fixture: name, output: 'last_hidden_state', device: label, dtype: 'f32', error });
      expect(errors.filter(({ error }) => !(error < tolerance))).toEqual([]);
      for (const batch of Object.values(golden.batches)) {
        const indices = batch.filter((index) => alone.has(index));
        const together = await run(encoder, golden, indices);
        together.forEach((outputs, i) => {
          // The same bits, so the same error as alone.
          expect(outputs).toEqual(alone.get(indices[i]!));
        });
      }
    },
  );

  test('a permutation of the sequences permutes the result, bit for bit', async () => {
    const golden = readGolden('bert');
    using encoder = await Encoder.load(golden.checkpoint, { device: request });
    const order = golden.batches['mixed']!;
    const reference = await run(encoder, golden, order);
    const seed = Date.now() % 2 ** 31;
    const permutation = shuffled([...order.keys()], seed);
    const permuted = await run(
      encoder,
      golden,
      permutation.map((i) => order[i]!),
    );
    permutation.forEach((from, to) =>
      expect({ seed, to, outputs: permuted[to] }).toEqual({ seed, to, outputs: reference[from] }),
    );
  });

  test('an empty batch and empty sequences are legal', async () => {
    const golden = readGolden('bert');
    using encoder = await Encoder.load(golden.checkpoint, { device: request });
    const none = await encoder.run(PackedBatch.fromSequences([]), {
      outputs: ['lastHiddenState', 'poolerOutput'],
    });
    expect([none.lastHiddenState!.length, none.poolerOutput!.length]).toEqual([0, 0]);

    const ids = golden.sequences[4]!.ids;
    const [outputs] = await run(encoder, { ...golden, sequences: [{ name: '', ids, rows: [] }] }, [0]);
    const mixed = await encoder.run(PackedBatch.fromSequences([[], ids, [], []]), {
      outputs: ['lastHiddenState', 'sentenceEmbedding'],
      pooling: ['mean'],
    });
    expect(mixed.lastHiddenState).toEqual(outputs!.hidden);
    const width = encoder.spec.hiddenSize;
    for (const empty of [0, 2, 3]) {
      expect(mixed.sentenceEmbedding!.slice(empty * width, (empty + 1) * width)).toEqual(
        new Float32Array(width),
      );
    }
  });

  if (label.startsWith('cpu')) {
    test('1 to 4 threads give the same bits', async () => {
      const golden = readGolden('bert');
      const results: SequenceOutputs[][] = [];
      for (const threads of [1, 2, 3, 4]) {
        using encoder = await Encoder.load(golden.checkpoint, { device: { ...request, threads } });
        results.push(await run(encoder, golden, golden.batches['mixed']!));
        results.push(await run(encoder, golden, [2]));
      }
      for (const [i, result] of results.entries()) expect(result).toEqual(results[i % 2]);
    });

    // Many rows at once may take other kernels, whose bits are not those of a sequence alone.
    test.each(['bert', 'modernbert', 'deberta-v3', 't5-gated', 'qwen3', 'nomic-moe'])(
      '%s agrees with transformers in float64 in a batch with determinism "run"',
      async (name) => {
        const golden = readGolden(name);
        using encoder = await Encoder.load(golden.checkpoint, { device: { ...request, determinism: 'run' } });
        const indices = indicesOf(golden);
        const batch = await run(encoder, golden, indices);
        const errors = indices.map((index, i) =>
          worstError(golden, index, batch[i]!, encoder.spec.hiddenSize),
        );
        expect(Math.max(...errors)).toBeLessThan(tolerance);
      },
    );

    // A convolution, ropes, distances, experts and an adapter, in more tokens than one thread takes through the
    // layers at a time.
    test.each(['bert', 'modernbert', 'deberta-v2-conv', 'mpnet', 'nomic-moe', 'jina-v3-query'])(
      '%s: a batch of several runs has the bits of its sequences',
      async (name) => {
        const golden = readGolden(name);
        using encoder = await Encoder.load(golden.checkpoint, { device: { ...request, threads: 1 } });
        const short = [...golden.sequences.keys()].filter(
          (index) => golden.sequences[index]!.ids.length < 300,
        );
        const alone = await Promise.all(
          short.map(async (index) => (await run(encoder, golden, [index]))[0]!),
        );
        const tokens = short.reduce((sum, index) => sum + golden.sequences[index]!.ids.length, 0);
        const order = Array.from({ length: Math.ceil(3000 / tokens) }, () => short.keys()).flatMap((keys) => [
          ...keys,
        ]);
        const together = await run(
          encoder,
          golden,
          order.map((at) => short[at]!),
        );
        together.forEach((outputs, i) => expect(outputs).toEqual(alone[order[i]!]));
      },
    );
  }
});
