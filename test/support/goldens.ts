// The fixtures of test/goldens: see its README.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { PackedBatch } from '../../ts/packed';

const models = join(__dirname, '../goldens/models');

export interface GoldenSequence {
  name: string;
  ids: number[];
  tokenTypes?: number[];
  rows: number[];
}

export interface Golden {
  name: string;
  checkpoint: string;
  outputs: string[];
  /** The task adapter that the outputs were computed with. */
  adapter?: string;
  /** Relative L2 errors of transformers in that dtype, by output, over what is stored of all sequences. */
  transformersBfloat16Error: Record<string, number>;
  transformersFloat16Error: Record<string, number>;
  batches: Record<string, number[]>;
  sequences: GoldenSequence[];
  expected: Map<string, { shape: number[]; data: Float64Array }>;
}

/** F64 tensors of a safetensors file: a reader of its own, so that ours is not checked by itself. */
export function readF64(path: string): Golden['expected'] {
  const file = readFileSync(path);
  const headerLength = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerLength)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors: Golden['expected'] = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    if (entry.dtype !== 'F64') throw new Error(`${name} is ${entry.dtype}`);
    const [begin, end] = entry.data_offsets;
    const bytes = file.subarray(8 + headerLength + begin, 8 + headerLength + end);
    tensors.set(name, { shape: entry.shape, data: new Float64Array(new Uint8Array(bytes).buffer) });
  }
  return tensors;
}

export function readGolden(name: string): Golden {
  const directory = join(models, name);
  const cases = JSON.parse(readFileSync(join(directory, 'cases.json'), 'utf8')) as Omit<
    Golden,
    'checkpoint' | 'expected'
  >;
  return {
    ...cases,
    checkpoint: join(directory, 'checkpoint'),
    expected: readF64(join(directory, 'expected.safetensors')),
  };
}

/** Names of the fixtures whose config.json has one of these model types. */
export function goldenNames(modelTypes: readonly string[]): string[] {
  return readdirSync(models)
    .filter((name) => existsSync(join(models, name, 'cases.json')))
    .filter((name) => {
      const config = JSON.parse(readFileSync(join(models, name, 'checkpoint/config.json'), 'utf8')) as {
        model_type: string;
      };
      return modelTypes.includes(config.model_type);
    });
}

/** Some sequences of a fixture as one batch. */
export function packGolden(golden: Golden, indices: readonly number[]): PackedBatch {
  const sequences = indices.map((index) => golden.sequences[index]!);
  const hasTypes = sequences.some((sequence) => sequence.tokenTypes);
  return PackedBatch.fromSequences(
    sequences.map((sequence) => sequence.ids),
    hasTypes ? { tokenTypes: sequences.map((sequence) => sequence.tokenTypes!) } : {},
  );
}

/** |actual - expected| / |expected| in float64. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length)
    throw new Error(`${actual.length} values, ${expected.length} expected`);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}

/** Rows of a [T, width] matrix, one after another. */
export function pickRows(matrix: Float32Array, width: number, rows: readonly number[]): Float32Array {
  const picked = new Float32Array(rows.length * width);
  rows.forEach((row, i) => picked.set(matrix.subarray(row * width, (row + 1) * width), i * width));
  return picked;
}

/** matrix [T, width] times probe [width, 2], in float64. */
export function multiplyProbe(matrix: Float32Array, width: number, probe: Float64Array): Float64Array {
  const rows = matrix.length / width;
  const product = new Float64Array(rows * 2);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < 2; column++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += matrix[row * width + i]! * probe[i * 2 + column]!;
      product[row * 2 + column] = sum;
    }
  }
  return product;
}
