// What two results have in common bit for bit.
import { device } from '../../ts/device';
import { Encoder, type LoadOptions } from '../../ts/encoder';
import { linear } from '../../ts/ops';
import { Tensor } from '../../ts/tensor';
import { LinearWeight, type Compute } from '../../ts/weight';
import { testDevices } from '../support/devices';
import { normals } from '../support/seeded';
import { packGolden, readGolden, type Golden } from '../support/goldens';

const outputs = ['lastHiddenState', 'poolerOutput'] as const;

/** One fixture for each way to the attention: head dims of tensor core kernels, and one without. */
const fixtures = ['bert-head-64', 'bert-head-15', 'bert-relu'];

async function load(golden: Golden, dtype: Compute, device: LoadOptions['device']): Promise<Encoder> {
  return Encoder.load(golden.checkpoint, { dtype, ...(device && { device }) });
}

describe.each(testDevices())('on $label', ({ request, reducedPrecisions }) => {
  describe.each(['f32', ...reducedPrecisions] as Compute[])('%s', (dtype) => {
    test.each(fixtures)('%s: the same batch twice', async (name) => {
      const golden = readGolden(name);
      using encoder = await load(golden, dtype, request);
      const batch = packGolden(golden, golden.batches['mixed'] ?? [...golden.sequences.keys()]);
      const first = await encoder.run(batch, { outputs });
      const second = await encoder.run(batch, { outputs });
      expect(second).toEqual(first);
    });

    test.each(fixtures)('%s: alone and in a batch, with determinism "batch"', async (name) => {
      const golden = readGolden(name);
      using encoder = await load(golden, dtype, { ...request, determinism: 'batch' });
      const width = encoder.spec.hiddenSize;
      const indices = [...golden.sequences.keys()];
      const batch = packGolden(golden, indices);
      const together = await encoder.run(batch, { outputs });
      for (const index of indices) {
        const alone = await encoder.run(packGolden(golden, [index]), { outputs });
        const [begin, end] = [batch.cuSeqlens[index]! * width, batch.cuSeqlens[index + 1]! * width];
        expect(alone.lastHiddenState).toEqual(together.lastHiddenState!.slice(begin, end));
        expect(alone.poolerOutput).toEqual(together.poolerOutput!.slice(index * width, (index + 1) * width));
      }
    });
  });

  test('a row of a product alone and among many, with determinism "batch"', async () => {
    // One row of many inputs is where splitting the sum pays, 200 rows are where it does not.
    const target = device({ ...request, determinism: 'batch' });
    const [inputs, columns, rows] = [1024, 64, 200];
    const w = Tensor.from(normals(columns * inputs), [columns, inputs], { device: target });
    const x = normals(rows * inputs);
    for (const compute of ['f32', ...reducedPrecisions] as Compute[]) {
      using weight = LinearWeight.pack(w, { compute });
      const product = (count: number) =>
        linear(Tensor.from(x.slice(0, count * inputs), [count, inputs], { device: target }), weight).read();
      expect(await product(1)).toEqual((await product(rows)).slice(0, columns));
    }
  });
});
