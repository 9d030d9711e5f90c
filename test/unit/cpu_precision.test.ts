// What holds in bf16, int8 and (refused) fp8 on the CPU beside their errors, which test/device/precision.test.ts bounds.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Encoder } from '../../ts/encoder';
import { linear } from '../../ts/ops';
import { Tensor } from '../../ts/tensor';
import { LinearWeight } from '../../ts/weight';
import { testDevices } from '../support/devices';
import { packGolden, readGolden, relativeError } from '../support/goldens';

const cpus = testDevices().filter(({ label }) => label.startsWith('cpu'));

describe.each(cpus)('on $label', ({ request }) => {
  describe.each(['bf16', 'int8'] as const)('%s', (dtype) => {
    test('a sequence has the same bits alone and in a batch', async () => {
      const golden = readGolden('bert');
      using encoder = await Encoder.load(golden.checkpoint, { device: request, dtype });
      const width = encoder.spec.hiddenSize;
      const all = golden.sequences.map((_, index) => index);
      const batch = packGolden(golden, all);
      const outputs = ['lastHiddenState', 'poolerOutput'] as const;
      const together = await encoder.run(batch, { outputs });
      for (const index of all) {
        const alone = await encoder.run(packGolden(golden, [index]), { outputs });
        const [begin, end] = [batch.cuSeqlens[index]! * width, batch.cuSeqlens[index + 1]! * width];
        expect(alone.lastHiddenState).toEqual(together.lastHiddenState!.slice(begin, end));
        expect(alone.poolerOutput).toEqual(together.poolerOutput!.slice(index * width, (index + 1) * width));
      }
    });
  });

  test('the pooler and Dense modules stay in f32', async () => {
    // tanh(first row . weight + bias) of the int8 encoder's own first row, in float64.
    const golden = readGolden('bert');
    using encoder = await Encoder.load(golden.checkpoint, { device: request, dtype: 'int8' });
    const { lastHiddenState, poolerOutput } = await encoder.run(packGolden(golden, [2]), {
      outputs: ['lastHiddenState', 'poolerOutput'],
    });
    const width = encoder.spec.hiddenSize;
    const weights = readFloats(join(golden.checkpoint, 'model.safetensors'));
    const [weight, bias] = [weights('pooler.dense.weight'), weights('pooler.dense.bias')];
    const wanted = Array.from({ length: width }, (_, row) => {
      let sum = bias[row]!;
      for (let k = 0; k < width; k++) sum += weight[row * width + k]! * lastHiddenState![k]!;
      return Math.tanh(sum);
    });
    expect(relativeError(poolerOutput!, wanted)).toBeLessThan(1e-5);
  });
});

test('fp8 is refused, with the devices that have it', async () => {
  const refusal = {
    code: 'E_UNSUPPORTED',
    field: 'dtype',
    message: expect.stringContaining('GPUs of compute capability 9.0 (Hopper)'),
  };
  const { checkpoint } = readGolden('bert-one-layer');
  await expect(Encoder.load(checkpoint, { dtype: 'fp8' })).rejects.toMatchObject(refusal);
  const weight = Tensor.from(new Float32Array(4), [2, 2]);
  const product = linear(weight, LinearWeight.pack(weight, { compute: 'fp8' }));
  await expect(product.read()).rejects.toMatchObject({ code: 'E_UNSUPPORTED', field: 'dtype' });
});

/** F32 tensors of a safetensors file by name. */
function readFloats(path: string): (name: string) => Float32Array {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  return (name) => {
    const [begin, end] = header[name]!.data_offsets;
    return new Float32Array(new Uint8Array(file.subarray(start + begin, start + end)).buffer);
  };
}
