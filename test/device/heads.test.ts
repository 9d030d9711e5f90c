// The logits of task heads against transformers in float64, on every device and instruction set.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Encoder } from '../../ts/encoder';
import { modelTypes } from '../../ts/models/families';
import { PackedBatch } from '../../ts/packed';
import { testDevices } from '../support/devices';
import { expectError } from '../support/errors';
import { temporaryFolder } from '../support/folders';
import {
  goldenNames,
  multiplyProbe,
  packGolden,
  pickRows,
  readGolden,
  relativeError,
  type Golden,
} from '../support/goldens';
import { recordError } from '../support/measured';

const tolerance = 1e-5;

const headNames = goldenNames(modelTypes).filter((name) => readGolden(name).outputs.includes('logits'));

/** The logits of each sequence of one batch: [width], or [T, width] of heads that have them a token. */
async function logitsOf(
  encoder: Encoder,
  golden: Golden,
  indices: readonly number[],
): Promise<Float32Array[]> {
  const batch = packGolden(golden, indices);
  const { logits } = await encoder.run(batch, { outputs: ['logits'] });
  const { width, perToken } = encoder.head!;
  const rows = (i: number) => (perToken ? batch.cuSeqlens[i]! : i);
  return indices.map((_, i) => logits!.slice(rows(i) * width, rows(i + 1) * width));
}

function errorOf(golden: Golden, index: number, logits: Float32Array, width: number): number {
  const expected = golden.expected.get(`${index}.logits`)!.data;
  const probed = golden.expected.get(`${index}.logits.probed`)?.data;
  if (!probed) return relativeError(logits, expected);
  const probe = golden.expected.get('probe.logits')!.data;
  return Math.max(
    relativeError(pickRows(logits, width, golden.sequences[index]!.rows), expected),
    relativeError(multiplyProbe(logits, width, probe), probed),
  );
}

describe.each(testDevices())('on $label', ({ request, label, reducedPrecisions }) => {
  test.each(headNames)(
    '%s: logits agree with transformers in float64, alone and in batches',
    async (name) => {
      const golden = readGolden(name);
      using encoder = await Encoder.load(golden.checkpoint, { device: request });
      const { width } = encoder.head!;
      const alone = await Promise.all(golden.sequences.map((_, index) => logitsOf(encoder, golden, [index])));
      const errors = alone.map(([logits], index) => ({
        sequence: golden.sequences[index]!.name,
        error: errorOf(golden, index, logits!, width),
      }));
      const error = Math.max(...errors.map((one) => one.error));
      recordError({ fixture: name, output: 'logits', device: label, dtype: 'f32', error });
      expect(errors.filter(({ error }) => !(error < tolerance))).toEqual([]);
      for (const indices of Object.values(golden.batches)) {
        const together = await logitsOf(encoder, golden, indices);
        together.forEach((logits, i) => expect(logits).toEqual(alone[indices[i]!]![0]));
      }
    },
  );

  test('chosen rows and columns are those of all logits, bit for bit', async () => {
    const golden = readGolden('bert-masked-lm');
    using whole = await Encoder.load(golden.checkpoint, { device: request });
    using part = await Encoder.load(golden.checkpoint, { device: request, logits: [7, 49, 7] });
    const batch = packGolden(golden, [0, 2, 3]);
    const { logits: all } = await whole.run(batch, { outputs: ['logits'] });
    const logitRows = Int32Array.of(batch.tokens - 1, 0, 5, 5);
    const rows = await whole.run(batch, { outputs: ['logits'], logitRows });
    const expected = pickRows(all!, 50, [...logitRows]);
    expect(rows.logits).toEqual(expected);
    const columns = await part.run(batch, { outputs: ['logits'], logitRows });
    expect(part.head!.width).toBe(3);
    expect([...columns.logits!]).toEqual(
      [0, 1, 2, 3].flatMap((row) => [7, 49, 7].map((column) => expected[row * 50 + column]!)),
    );
    const none = await whole.run(batch, { outputs: ['logits'], logitRows: new Int32Array(0) });
    expect(none.logits!.length).toBe(0);
  });

  test('an empty batch has no logits', async () => {
    for (const name of ['bert-masked-lm', 'bert-sequence']) {
      using encoder = await Encoder.load(readGolden(name).checkpoint, { device: request });
      const { logits } = await encoder.run(PackedBatch.fromSequences([]), { outputs: ['logits'] });
      expect(logits!.length).toBe(0);
    }
  });

  test('in a reduced precision the head itself stays exact', async () => {
    const golden = readGolden('roberta-sequence');
    for (const dtype of reducedPrecisions) {
      using encoder = await Encoder.load(golden.checkpoint, { device: request, dtype });
      const { lastHiddenState } = await encoder.run(packGolden(golden, [2]), {
        outputs: ['lastHiddenState'],
      });
      const [logits] = await logitsOf(encoder, golden, [2]);
      const weights = readWeights(golden.checkpoint);
      const inner = dense(lastHiddenState!.subarray(0, 16), weights, 'classifier.dense').map(Math.tanh);
      expect(relativeError(logits!, dense(inner, weights, 'classifier.out_proj'))).toBeLessThan(tolerance);
    }
  });
});

/** The bf16 tensors of a fixture's model.safetensors. */
function readWeights(checkpoint: string): (name: string) => Float64Array {
  const file = readFileSync(join(checkpoint, 'model.safetensors'));
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<string, { data_offsets: number[] }>;
  return (name) => {
    const [begin, end] = header[name]!.data_offsets as [number, number];
    const widened = new Float32Array((end - begin) / 2);
    const bits = new Uint32Array(widened.buffer);
    bits.forEach((_, i) => (bits[i] = file.readUInt16LE(start + begin + 2 * i) << 16));
    return Float64Array.from(widened);
  };
}

/** W x + b of the layer `name`. */
function dense(x: ArrayLike<number>, weights: (name: string) => Float64Array, name: string): Float64Array {
  const [weight, bias] = [weights(`${name}.weight`), weights(`${name}.bias`)];
  return bias.map((sum, row) => {
    for (let i = 0; i < x.length; i++) sum += weight[row * x.length + i]! * x[i]!;
    return sum;
  });
}

test("Alibaba's own class names mean the heads of Gte", async () => {
  using folder = temporaryFolder();
  const golden = readGolden('gte-sequence');
  cpSync(golden.checkpoint, folder.path, { recursive: true });
  const file = join(folder.path, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...config, architectures: ['NewForSequenceClassification'] }));
  using encoder = await Encoder.load(folder.path);
  const [logits] = await logitsOf(encoder, golden, [2]);
  expect(errorOf(golden, 2, logits!, 3)).toBeLessThan(tolerance);
});

describe('is refused', () => {
  const classify = readGolden('bert-sequence');
  const words = readGolden('bert-masked-lm');

  test('logits of a bare encoder', async () => {
    using encoder = await Encoder.load(readGolden('bert').checkpoint);
    await expectError(() => encoder.run(PackedBatch.fromSequences([[1]]), { outputs: ['logits'] }), {
      code: 'E_UNSUPPORTED',
      field: 'outputs',
    });
  });

  test('logits of a checkpoint that lacks the tensors of its head', async () => {
    using encoder = await Encoder.load(readGolden('bert-old-names').checkpoint);
    await expectError(() => encoder.run(PackedBatch.fromSequences([[1]]), { outputs: ['logits'] }), {
      code: 'E_BAD_WEIGHTS',
      field: 'cls.predictions.transform.dense.weight',
    });
  });

  test.each([
    ['a row beyond the batch', words, Int32Array.of(3)],
    ['a negative row', words, Int32Array.of(-1)],
    ['rows of a head that has one a sequence', classify, Int32Array.of(0)],
  ])('%s', async (_name, golden, logitRows) => {
    using encoder = await Encoder.load(golden.checkpoint);
    const batch = PackedBatch.fromSequences([[1, 2, 3]]);
    await expectError(() => encoder.run(batch, { outputs: ['logits'], logitRows }), {
      code: 'E_INVALID_ARGUMENT',
      field: 'logitRows',
    });
  });

  test.each([[[50]], [[-1]], [[]], [[0.5]]])('the columns %j', async (logits) => {
    await expectError(() => Encoder.load(words.checkpoint, { logits }), {
      code: 'E_INVALID_ARGUMENT',
      field: 'logits',
    });
  });
});
