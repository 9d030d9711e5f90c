// The ops on tensors against float64, on every device and instruction set of this machine.
import { device } from '../../ts/device';
import { PackedBatch } from '../../ts/packed';
import { attention, l2Normalize, layerNorm, linear, pack, pool, rmsNorm, unpack } from '../../ts/ops';
import { Tensor } from '../../ts/tensor';
import { LinearWeight } from '../../ts/weight';
import { testDevices } from '../support/devices';
import * as reference from '../support/reference';
import { normals, random, seed } from '../support/seeded';

const tolerance = 1e-6;

const batches: Record<string, number[]> = {
  'no sequence': [],
  'one token': [1],
  'an empty sequence between others': [3, 0, 2],
  'odd lengths': [1, 2, 15, 16, 17, 63, 64, 65, 127, 129],
};

function batchOf(lengths: readonly number[]): PackedBatch {
  return PackedBatch.fromSequences(lengths.map((length) => Array.from({ length }, (_, i) => i)));
}

beforeAll(() => console.info(`PADLESS_TEST_SEED=${seed}`));

describe.each(testDevices())('on $label', ({ request }) => {
  const target = device(request);
  const tensor = (data: Float32Array, shape: number[]) => Tensor.from(data, shape, { device: target });

  async function expectClose(
    result: Tensor,
    shape: readonly number[],
    expected: reference.Numbers,
  ): Promise<void> {
    expect(result.shape).toEqual(shape);
    expect(reference.relativeError((await result.read()) as Float32Array, expected)).toBeLessThan(tolerance);
  }

  describe('linear', () => {
    test.each([
      [1, 1, 1],
      [3, 7, 5],
      [17, 96, 200],
      [64, 33, 1],
      [0, 8, 4],
      [130, 257, 129],
    ])('[%i, %i] to %i columns', async (rows, inputs, outputs) => {
      const [x, w, b] = [normals(rows * inputs), normals(outputs * inputs), normals(outputs)];
      const expected = reference.linear(x, w, [rows, inputs, outputs], { bias: b });
      using y = linear(tensor(x, [rows, inputs]), tensor(w, [outputs, inputs]), {
        bias: tensor(b, [outputs]),
      });
      await expectClose(y, [rows, outputs], expected);
    });

    test.each(Object.keys(reference.activations))('activation %s, then the residual', async (activation) => {
      const [rows, inputs, outputs] = [9, 24, 31] as const;
      const [x, w, b, r] = [
        normals(rows * inputs),
        normals(outputs * inputs),
        normals(outputs),
        normals(rows * outputs),
      ];
      const expected = reference.linear(x, w, [rows, inputs, outputs], { bias: b, activation, residual: r });
      using weight = LinearWeight.pack(tensor(w, [outputs, inputs]), { bias: tensor(b, [outputs]) });
      using y = linear(tensor(x, [3, 3, inputs]), weight, {
        activation: activation as 'gelu',
        residual: tensor(r, [3, 3, outputs]),
      });
      await expectClose(y, [3, 3, outputs], expected);
    });
  });

  describe('norms', () => {
    test.each([
      [5, 1],
      [1, 7],
      [33, 96],
      [4, 1023],
    ])('[%i, %i], with and without residual', async (rows, cols) => {
      const [x, gamma, beta, residual] = [
        normals(rows * cols),
        normals(cols),
        normals(cols),
        normals(rows * cols),
      ];
      const [input, g, b, r] = [
        tensor(x, [rows, cols]),
        tensor(gamma, [cols]),
        tensor(beta, [cols]),
        tensor(residual, [rows, cols]),
      ];
      const eps = 1e-3;
      const shape = [rows, cols];
      await expectClose(
        layerNorm(input, { gamma: g, beta: b, eps }),
        shape,
        reference.layerNorm(x, gamma, beta, eps),
      );
      await expectClose(
        layerNorm(input, { gamma: g, eps, residual: r }),
        shape,
        reference.layerNorm(x, gamma, undefined, eps, residual),
      );
      await expectClose(rmsNorm(input, { gamma: g, eps }), shape, reference.rmsNorm(x, gamma, eps));
      await expectClose(
        rmsNorm(input, { gamma: g, eps, residual: r }),
        shape,
        reference.rmsNorm(x, gamma, eps, residual),
      );
      await expectClose(l2Normalize(input), shape, reference.l2Normalize(x, cols));
    });

    test('a row of zeros', async () => {
      await expectClose(l2Normalize(tensor(new Float32Array(8), [2, 4])), [2, 4], new Float64Array(8));
    });
  });

  describe('attention', () => {
    const spans = {
      full: [undefined, () => true],
      causal: ['causal', (i: number, j: number) => j <= i],
      'a window': [{ left: 5, right: 3 }, (i: number, j: number) => i - j <= 5 && j - i <= 3],
      'a window open on the left': [{ right: 0 }, (i: number, j: number) => j <= i],
    } as const;

    async function compare(
      lengths: number[],
      heads: number,
      kvHeads: number,
      headDim: number,
      span: keyof typeof spans,
    ) {
      const batch = batchOf(lengths);
      const T = batch.tokens;
      const [q, k, v] = [
        normals(T * heads * headDim),
        normals(T * kvHeads * headDim),
        normals(T * kvHeads * headDim),
      ];
      const [option, sees] = spans[span];
      const expected = reference.attention(q, k, v, batch, { heads, kvHeads, headDim, sees });
      const { out, lse } = attention(
        tensor(q, [T, heads, headDim]),
        tensor(k, [T, kvHeads * headDim]),
        tensor(v, [T, kvHeads * headDim]),
        batch,
        { kvHeads, lse: true, ...(option && { span: option }) },
      );
      await expectClose(out, [T, heads, headDim], expected.out);
      await expectClose(lse, [heads, T], expected.lse);
    }

    test.each(Object.entries(batches))('%s', (_, lengths) => compare(lengths, 3, 3, 32, 'full'));
    test.each(Object.keys(spans) as (keyof typeof spans)[])('span %s', (span) =>
      compare([1, 40, 17], 2, 2, 16, span),
    );
    test.each([
      [4, 2, 24],
      [6, 1, 64],
      [1, 1, 8],
    ])('%i heads over %i key heads of %i', (heads, kvHeads, headDim) =>
      compare([19, 33], heads, kvHeads, headDim, 'full'),
    );

    test('a sequence has the same bits alone and in a batch', async () => {
      const [heads, headDim, lengths] = [2, 32, [29, 64, 5]] as const;
      const batch = batchOf(lengths);
      const width = heads * headDim;
      const data = Array.from({ length: 3 }, () => normals(batch.tokens * width));
      const run = async (rows: Float32Array[], of: PackedBatch) => {
        const [q, k, v] = rows.map((part) => tensor(part, [of.tokens, heads, headDim])) as [
          Tensor<'f32'>,
          Tensor<'f32'>,
          Tensor<'f32'>,
        ];
        return attention(q, k, v, of).read();
      };
      const together = batch.split(await run(data, batch), width);
      const parts = data.map((part) => batch.split(part, width));
      for (let b = 0; b < lengths.length; b++) {
        expect(
          await run(
            parts.map((part) => part[b]!),
            batchOf([lengths[b]!]),
          ),
        ).toEqual(together[b]);
      }
    });
  });

  describe('pool', () => {
    const modes = ['cls', 'mean', 'max', 'lasttoken', 'weightedmean', 'mean_sqrt_len'] as const;
    test.each(modes)('%s', async (mode) => {
      for (const lengths of Object.values(batches)) {
        const batch = batchOf(lengths);
        const x = normals(batch.tokens * 33);
        const input = tensor(x, [batch.tokens, 33]);
        await expectClose(
          pool(input, batch, { mode }),
          [lengths.length, 33],
          reference.pool(x, 33, batch, mode),
        );
      }
    });

    test('leaves the leading tokens out', async () => {
      const batch = batchOf([4, 7, 2]);
      const x = normals(batch.tokens * 5);
      const skip = [1, 0, 1];
      using y = pool(tensor(x, [batch.tokens, 5]), batch, { mode: 'mean', skip });
      await expectClose(y, [3, 5], reference.pool(x, 5, batch, 'mean', skip));
    });
  });

  describe('pack and unpack', () => {
    test('drop and restore padding on both sides and holes', async () => {
      const [B, L, H] = [5, 13, 7] as const;
      const mask = Array.from({ length: B * L }, (_, i) => (i < L ? 0 : random.below(2)));
      const x = normals(B * L * H);
      const batch = PackedBatch.fromPadded(new Int32Array(B * L), mask, [B, L]);
      const kept = mask.flatMap((bit, i) => (bit ? [i] : []));
      const expected = kept.flatMap((i) => [...x.subarray(i * H, (i + 1) * H)]);
      const padded = tensor(x, [B, L, H]);
      const packed = pack(padded, batch);
      expect(packed.shape).toEqual([kept.length, H]);
      expect([...(await packed.read())]).toEqual(expected);
      expect(await pack(padded, mask).read()).toEqual(await packed.read());
      const restored = unpack(packed, batch, L);
      expect(restored.shape).toEqual([B, L, H]);
      expect([...(await restored.read())]).toEqual(
        [...x].map((value, i) => (mask[Math.floor(i / H)] ? value : 0)),
      );
    });
  });
});
