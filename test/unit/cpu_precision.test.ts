// What bf16 and int8 cost, against what they cost elsewhere: test/goldens/precision_errors.json.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Encoder } from '../../ts/encoder';
import { testDevices } from '../support/devices';
import { packGolden, pickRows, readGolden, relativeError, type Golden } from '../support/goldens';

interface Elsewhere {
  transformersBfloat16: number;
  onnxruntimeInt8: number;
}

const { errors } = JSON.parse(readFileSync(join(__dirname, '../goldens/precision_errors.json'), 'utf8')) as {
  errors: Record<string, Elsewhere>;
};

/** The bar of a precision: int8 no worse than onnxruntime's dynamic int8, bf16 at most twice transformers'. */
const bars = {
  bf16: ({ transformersBfloat16 }: Elsewhere) => 2 * transformersBfloat16,
  int8: ({ onnxruntimeInt8 }: Elsewhere) => onnxruntimeInt8,
};

/** The stored rows of all sequences, one after another, as the errors elsewhere were taken. */
async function storedRows(encoder: Encoder, golden: Golden): Promise<number[]> {
  const indices = golden.sequences.map((_, index) => index);
  const batch = packGolden(golden, indices);
  const { lastHiddenState } = await encoder.run(batch, { outputs: ['lastHiddenState'] });
  const width = encoder.spec.hiddenSize;
  return indices.flatMap((index) => {
    const [begin, end] = [batch.cuSeqlens[index]!, batch.cuSeqlens[index + 1]!];
    const hidden = lastHiddenState!.subarray(begin * width, end * width);
    return Array.from(pickRows(hidden, width, golden.sequences[index]!.rows));
  });
}

const expectedRows = (golden: Golden) =>
  golden.sequences.flatMap((_, index) => Array.from(golden.expected.get(`${index}.last_hidden_state`)!.data));

const cpus = testDevices().filter(({ label }) => label.startsWith('cpu'));

describe.each(cpus)('on $label', ({ request }) => {
  describe.each(['bf16', 'int8'] as const)('%s', (dtype) => {
    test.each(Object.keys(errors))('%s is as exact as elsewhere', async (name) => {
      const golden = readGolden(name);
      using encoder = await Encoder.load(golden.checkpoint, { device: request, dtype });
      const error = relativeError(await storedRows(encoder, golden), expectedRows(golden));
      expect(error).toBeLessThan(bars[dtype](errors[name]!));
      // int8 that costs nothing was not used; bf16 may cost nothing, where products widen weights that are bf16.
      if (dtype === 'int8') expect(error).toBeGreaterThan(1e-3);
    });

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
