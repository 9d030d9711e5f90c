// The plans by which a GPU launches attention: each as exact as transformers' reduced precisions, with the same bits in
// every batch, replayed as a graph or not.
import { type AttentionPlanOptions } from '../../ts/attention_plan';
import { device } from '../../ts/device';
import { Encoder } from '../../ts/encoder';
import type { Compute } from '../../ts/weight';
import { testDevices } from '../support/devices';
import { expectError } from '../support/errors';
import { packGolden, pickRows, readGolden, relativeError } from '../support/goldens';

/** Its sequences of 1, 2, 17, 65 and 129 tokens are on both sides of the edges of every plan. */
const golden = readGolden('bert-head-64');
const indices = golden.batches['mixed']!;
const batch = packGolden(golden, indices);

const plans: AttentionPlanOptions[] = [
  { strategy: 'auto' },
  { strategy: 'single' },
  { strategy: 'grouped' },
  { strategy: 'grouped', bucketEdges: [], streams: 1 },
  { strategy: 'grouped', bucketEdges: [1, 16, 17, 65, 100, 129], streams: 16 },
  { strategy: 'grouped', bucketEdges: [2, 2 ** 31 - 1], streams: 2 },
  { strategy: 'persistent' },
];

describe.each(testDevices())('on $label', ({ request, reducedPrecisions }) => {
  if (request.name.startsWith('cpu')) {
    test('a CPU has no plans', () =>
      expectError(() => device({ ...request, attention: { strategy: 'auto' } }), {
        code: 'E_INVALID_ARGUMENT',
        field: 'attention',
      }));
    return;
  }

  const hidden = async (encoder: Encoder, of: readonly number[]) =>
    (await encoder.run(packGolden(golden, of), { outputs: ['lastHiddenState'] })).lastHiddenState!;
  const load = (attention: AttentionPlanOptions, more: object = {}, dtype: Compute = 'bf16') =>
    Encoder.load(golden.checkpoint, { dtype, device: { ...request, attention, ...more } });

  test.each(plans)('%j agrees with transformers', async (attention) => {
    for (const dtype of ['f32', ...reducedPrecisions.filter((each) => each !== 'fp8')] as Compute[]) {
      using encoder = await load(attention, {}, dtype);
      const errors = { bf16: golden.transformersBfloat16Error, f16: golden.transformersFloat16Error };
      const bar = dtype === 'f32' ? 1e-5 : 2 * errors[dtype as 'bf16' | 'f16']['last_hidden_state']!;
      const result = await hidden(encoder, indices);
      const width = encoder.spec.hiddenSize;
      const [actual, expected]: number[][] = [[], []];
      indices.forEach((index, i) => {
        const rows = result.subarray(batch.cuSeqlens[i]! * width, batch.cuSeqlens[i + 1]! * width);
        actual!.push(...pickRows(rows, width, golden.sequences[index]!.rows));
        expected!.push(...golden.expected.get(`${index}.last_hidden_state`)!.data);
      });
      expect(relativeError(actual!, expected!)).toBeLessThan(bar);
    }
  });

  test.each(plans)(
    '%j has the same bits as a graph, overlapping, and for a sequence alone',
    async (attention) => {
      using replaying = await load(attention, { determinism: 'batch' });
      using launching = await load(attention, { determinism: 'batch', graphs: false });
      using overlapping = await load(attention, { determinism: 'batch', overlap: true });
      const target = device({ ...request, attention, determinism: 'batch' });
      const before = target.graphInfo();
      const expected = await hidden(launching, indices);
      for (let round = 0; round < 4; round++) expect(await hidden(replaying, indices)).toEqual(expected);
      const { replayed, refused } = target.graphInfo();
      expect([replayed - before.replayed, refused - before.refused]).toEqual([3, 0]);
      for (let round = 0; round < 2; round++) expect(await hidden(overlapping, indices)).toEqual(expected);
      const width = launching.spec.hiddenSize;
      for (const [i, index] of indices.entries()) {
        if (indices.indexOf(index) !== i) continue;
        const rows = expected.slice(batch.cuSeqlens[i]! * width, batch.cuSeqlens[i + 1]! * width);
        expect(await hidden(launching, [index])).toEqual(rows);
      }
    },
  );

  // Two batches of one capacity, of 68 tokens in 4 sequences each: their launches are the same, and then one graph
  // serves both, where the plan has no edge from 1 to 64 that parts the sequences of one.
  test.each([
    [{ strategy: 'auto' }, 2],
    [{ strategy: 'grouped' }, 2],
    [{ strategy: 'grouped', bucketEdges: [16] }, 2],
    [{ strategy: 'grouped', bucketEdges: [65] }, 1],
    [{ strategy: 'grouped', bucketEdges: [], streams: 3 }, 1],
    [{ strategy: 'single' }, 1],
    [{ strategy: 'persistent' }, 1],
  ] as [AttentionPlanOptions, number][])(
    '%j has its launches: graphs for two batches: %i',
    async (attention, graphs) => {
      using encoder = await load(attention);
      const target = device({ ...request, attention });
      const before = target.graphInfo();
      for (let round = 0; round < 3; round++) {
        await hidden(encoder, [2, 2, 2, 2]);
        await hidden(encoder, [3, 0, 0, 0]);
      }
      expect(target.graphInfo().recorded - before.recorded).toBe(graphs);
    },
  );

  test('the launches change no bit of the same kernels', async () => {
    const run = async (attention: AttentionPlanOptions) => {
      using encoder = await load(attention);
      return await hidden(encoder, indices);
    };
    const single = await run({ strategy: 'single' });
    expect(await run({ strategy: 'persistent' })).toEqual(single);
    expect(await run({ strategy: 'grouped', bucketEdges: [] })).toEqual(single);
    const grouped = await run({ strategy: 'grouped' });
    expect(await run({ strategy: 'grouped', streams: 1 })).toEqual(grouped);
  });

  test('plans that mean the same are one device', () => {
    const of = (attention: AttentionPlanOptions) => device({ ...request, attention });
    expect(of({})).toBe(device(request));
    expect(of({ strategy: 'auto', streams: 4 })).toBe(device(request));
    expect(of({ strategy: 'grouped' })).toBe(of({ strategy: 'grouped', bucketEdges: [64, 128, 256] }));
    expect(of({ strategy: 'grouped', bucketEdges: [64] })).not.toBe(of({ strategy: 'grouped' }));
    expect(of({ streams: 1 })).not.toBe(device(request));
  });
});
