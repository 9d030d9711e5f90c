// What bf16, f16, int8 and fp8 cost, for every fixture with its head, against what they cost elsewhere.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Encoder, type MatrixOutput } from '../../ts/encoder';
import { modelTypes } from '../../ts/models/families';
import { isEmulated, testDevices } from '../support/devices';
import {
  goldenNames,
  packGolden,
  pickRows,
  readGolden,
  relativeError,
  type Golden,
} from '../support/goldens';
import { recordError } from '../support/measured';
import type { Compute } from '../../ts/weight';

type Output = 'last_hidden_state' | 'pooler_output' | 'logits';

const outputNames: Record<Output, MatrixOutput> = {
  last_hidden_state: 'lastHiddenState',
  pooler_output: 'poolerOutput',
  logits: 'logits',
};

type Errors = Record<string, Partial<Record<Output, number>>>;

const errorsIn = (file: string): Errors =>
  (JSON.parse(readFileSync(join(__dirname, '../goldens', file), 'utf8')) as { errors: Errors }).errors;

/** Of onnxruntime's int8, and of e4m3 products in transformers' float32. */
const elsewhere: Partial<Record<Compute, Errors>> = {
  int8: errorsIn('int8_errors.json'),
  fp8: errorsIn('fp8_errors.json'),
};

/**
 * Up to a half more is allowed where chance decides whose roundings cancel: in one layer of 16 columns, and with
 * experts (0.99x to 1.05x of onnxruntime by instruction set).
 */
const SCATTERED = [
  'roberta-sequence',
  'roberta-sequence-one-label',
  'eurobert-sequence-bos',
  'deberta-v2-token',
  'nomic-moe',
];

/**
 * The most that a precision may cost: twice what it costs transformers; int8 what it costs in onnxruntime, fp8 what
 * its products cost where all else is float32. Single checkpoints are so small that a tenth more is chance for int8,
 * and twice as much for fp8, whose steps are coarser; their mean is held to 1 and 1.1 below.
 */
function barOf(golden: Golden, output: Output, dtype: Compute): number | undefined {
  const error = elsewhere[dtype]?.[golden.name]?.[output];
  if (dtype === 'int8') return error && (SCATTERED.includes(golden.name) ? 1.5 : 1.1) * error;
  if (dtype === 'fp8') return 2 * error!;
  const errors = dtype === 'bf16' ? golden.transformersBfloat16Error : golden.transformersFloat16Error;
  return 2 * errors[output]!;
}

/** The sequences to run: the emulator, which is slow, leaves out the long ones. */
function indicesOf(golden: Golden): number[] {
  const limit = isEmulated ? 150 : Infinity;
  return [...golden.sequences.keys()].filter((index) => golden.sequences[index]!.ids.length <= limit);
}

/** What is stored of an output, of all sequences, one after another. */
function expectedOf(golden: Golden, indices: readonly number[], output: Output): number[] {
  return indices.flatMap((index) => [...golden.expected.get(`${index}.${output}`)!.data]);
}

/** The same numbers of an encoder's result. */
function storedOf(golden: Golden, indices: readonly number[], output: Output, data: Float32Array): number[] {
  const isStored = (index: number) => golden.expected.has(`${index}.${output}.probed`);
  const lengthOf = (index: number) => (isStored(index) ? golden.sequences[index]!.ids.length : 1);
  const width = data.length / indices.reduce((sum, index) => sum + lengthOf(index), 0);
  let begin = 0;
  return indices.flatMap((index) => {
    const rows = data.subarray(begin * width, (begin += lengthOf(index)) * width);
    return [...pickRows(rows, width, isStored(index) ? golden.sequences[index]!.rows : [0])];
  });
}

const fixtures = goldenNames(modelTypes);

describe.each(testDevices())('on $label', ({ request, label, reducedPrecisions }) => {
  describe.each(reducedPrecisions)('%s', (dtype) => {
    const ratios: number[] = [];

    test.each(fixtures)('%s is as exact as elsewhere', async (name) => {
      const golden = readGolden(name);
      const indices = indicesOf(golden);
      const outputs = golden.outputs as Output[];
      using encoder = await Encoder.load(golden.checkpoint, { device: request, dtype });
      const result = await encoder.run(packGolden(golden, indices), {
        outputs: outputs.map((output) => outputNames[output]),
        ...(golden.adapter !== undefined && { adapter: golden.adapter }),
      });
      const errors = outputs.map((output) => ({
        output,
        error: relativeError(
          storedOf(golden, indices, output, result[outputNames[output]]!),
          expectedOf(golden, indices, output),
        ),
        bar: barOf(golden, output, dtype) ?? Infinity,
      }));
      for (const { output, error } of errors) {
        if (output !== 'pooler_output') recordError({ fixture: name, output, device: label, dtype, error });
      }
      expect(errors.filter(({ error, bar }) => !(error <= bar))).toEqual([]);
      const theirs = elsewhere[dtype]?.[name]?.[errors[0]!.output];
      if (theirs) ratios.push(errors[0]!.error / theirs);
      // Codes that cost nothing were not used; bf16 may cost nothing, where products widen weights that are bf16.
      if (elsewhere[dtype]) expect(errors[0]!.error).toBeGreaterThan(1e-3);
    });

    if (elsewhere[dtype]) {
      test('all fixtures together are as exact as elsewhere', () => {
        const logarithms = ratios.map(Math.log).reduce((sum, each) => sum + each, 0);
        expect(Math.exp(logarithms / ratios.length)).toBeLessThan(dtype === 'int8' ? 1 : 1.1);
      });
    }
  });
});

test('the errors of codes elsewhere are known for every fixture', () => {
  for (const errors of Object.values(elsewhere)) expect(fixtures.filter((name) => !errors[name])).toEqual([]);
});
