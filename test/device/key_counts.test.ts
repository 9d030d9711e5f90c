// Tokens that attention does not see as keys (ColBERT's masks), on every device and instruction set.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Encoder } from '../../ts/encoder';
import { PackedBatch } from '../../ts/packed';
import { LateInteraction } from '../../ts/tasks/late_interaction';
import { testDevices } from '../support/devices';
import { readGolden, relativeError } from '../support/goldens';
import { makeRetrieval } from '../support/retrieval';

let scratch: string;
beforeAll(() => (scratch = mkdtempSync(join(tmpdir(), 'padless-keys-'))));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function hiddenOf(
  encoder: Encoder,
  sequences: number[][],
  keyCounts?: number[],
): Promise<Float32Array> {
  const { lastHiddenState } = await encoder.run(PackedBatch.fromSequences(sequences), {
    outputs: ['lastHiddenState'],
    ...(keyCounts && { keyCounts: Int32Array.from(keyCounts) }),
  });
  return lastHiddenState!;
}

describe.each(testDevices())('on $label', ({ request }) => {
  test.each(['f32', 'bf16'] as const)('queries in %s equal the reference', async (dtype) => {
    const golden = makeRetrieval('multi-vector', join(scratch, dtype));
    await using colbert = await LateInteraction.load(golden.checkpoint, { device: request, dtype });
    const vectors = await colbert.encodeQueries(golden.queries);
    golden.queries.forEach((_, i) => {
      const error = relativeError(vectors.row(i).data, golden.expected.get(`query.${i}`)!.data);
      expect(error).toBeLessThan(dtype === 'f32' ? 1e-5 : 3e-2);
    });
  });

  test.each(['bert', 'modernbert'])(
    '%s: unseen tokens change nobody, in sequences of any length',
    async (name) => {
      const golden = readGolden(name);
      using encoder = await Encoder.load(golden.checkpoint, { device: request });
      const width = encoder.spec.hiddenSize;
      const ids = golden.sequences.find((sequence) => sequence.ids.length >= 150)!.ids;
      // 60 and 130 keys: queries of several blocks, of which some begin behind the last key.
      for (const [keys, length] of [
        [1, 5],
        [16, 17],
        [60, 130],
        [130, 150],
      ] as const) {
        const counted = await hiddenOf(encoder, [ids.slice(0, 7), ids.slice(0, length)], [7, keys]);
        const alone = await hiddenOf(encoder, [ids.slice(0, keys)]);
        const seen = counted.slice(7 * width, (7 + keys) * width);
        expect(relativeError(seen, Float64Array.from(alone))).toBeLessThan(1e-6);
        // Without its neighbours among the unseen, a token has the same result.
        const one = await hiddenOf(encoder, [[...ids.slice(0, keys), ids[keys]!]], [keys]);
        const first = counted.slice((7 + keys) * width, (8 + keys) * width);
        expect(relativeError(first, Float64Array.from(one.slice(keys * width)))).toBeLessThan(1e-6);
        expect(
          relativeError(
            first,
            Float64Array.from((await hiddenOf(encoder, [ids.slice(0, keys + 1)])).slice(keys * width)),
          ),
        ).toBeGreaterThan(1e-3);
      }
    },
  );

  test.each<[string, number[], string]>([
    ['too few counts', [3], 'E_INVALID_ARGUMENT'],
    ['none seen', [0, 1], 'E_INVALID_ARGUMENT'],
    ['more than there are', [5, 1], 'E_INVALID_ARGUMENT'],
  ])('%s', async (_name, counts, code) => {
    using encoder = await Encoder.load(readGolden('bert').checkpoint, { device: request });
    await expect(hiddenOf(encoder, [[5, 6, 7, 8], [9]], counts)).rejects.toMatchObject({
      code,
      field: 'keyCounts',
    });
  });

  // What is checked once must not be trusted in batches that are replayed, or cut into slices.
  test('wrong counts are refused after right ones, and in a long batch', async () => {
    using encoder = await Encoder.load(readGolden('bert').checkpoint, { device: request });
    const short = [[5, 6, 7, 8], [9]];
    for (let i = 0; i < 3; i++) await hiddenOf(encoder, short, [2, 1]);
    for (const counts of [[5, 1], [0, 1], [2], Array<number>(100_000).fill(1)]) {
      await expect(hiddenOf(encoder, short, counts)).rejects.toMatchObject({
        code: 'E_INVALID_ARGUMENT',
        field: 'keyCounts',
      });
    }
    const long = Array<number[]>(120).fill(Array<number>(40).fill(7));
    await expect(hiddenOf(encoder, long, Array<number>(119).fill(40))).rejects.toThrow(
      'keyCounts has 119 entries for 120 sequences',
    );
    expect(await hiddenOf(encoder, short, [2, 1])).toHaveLength(5 * encoder.spec.hiddenSize);
  });

  test('refused where distances bias the scores', async () => {
    using encoder = await Encoder.load(readGolden('mpnet').checkpoint, { device: request });
    await expect(hiddenOf(encoder, [[5, 6, 7, 8]], [2])).rejects.toMatchObject({
      code: 'E_UNSUPPORTED',
      field: 'keyCounts',
    });
  });
});
