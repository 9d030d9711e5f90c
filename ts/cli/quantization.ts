import { packed, tokenBatches } from '../batching/batches';
import { devices } from '../device';
import { Encoder } from '../encoder';
import type { PackedBatch } from '../packed';
import { describeModel } from '../models/description';
import { loadModel } from '../tasks/task';

interface Precision {
  dtype: 'bf16' | 'int8' | 'fp8';
  /** The device that computes in it. */
  device: string;
}

/** What a precision costs on some texts, against f32 on the CPU. */
export interface PrecisionCost extends Precision {
  /** |x - f32| / |f32| of the last hidden states of all tokens. */
  relativeError: number;
  /** The text whose hidden states are furthest off, and by how much. */
  worstText: { index: number; relativeError: number };
  /** The least cosine of a text's vector with its vector in f32: the checkpoint's pooling, or the mean. */
  leastCosine: number;
  /** Bytes of the packed weights, and of those in f32. */
  weightBytes: number;
  weightBytesF32: number;
}

interface Outputs {
  /** [T, hidden size] */
  hidden: Float32Array;
  /** [B, columns] */
  vectors: Float32Array;
  weightBytes: number;
}

/** Those of the CPU, and fp8 where a GPU has it. */
function precisions(): Precision[] {
  const hopper = devices().find(({ kind, isa }) => kind !== 'cpu' && isa === 'sm_90');
  return [
    { dtype: 'bf16', device: 'cpu' },
    { dtype: 'int8', device: 'cpu' },
    ...(hopper ? [{ dtype: 'fp8', device: hopper.name } as const] : []),
  ];
}

async function outputsOf(encoder: Encoder, batch: PackedBatch, signal: AbortSignal): Promise<Outputs> {
  const result = await encoder.run(batch, {
    outputs: ['lastHiddenState', 'sentenceEmbedding'],
    ...(!encoder.pipeline && { pooling: ['mean'] }),
    signal,
  });
  return {
    hidden: result.lastHiddenState!,
    vectors: result.sentenceEmbedding!,
    weightBytes: encoder.weightBytes,
  };
}

/** |actual - expected| / |expected| over elements [begin, end), in float64. */
function relativeError(actual: Float32Array, expected: Float32Array, begin: number, end: number): number {
  let difference = 0;
  let norm = 0;
  for (let i = begin; i < end; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}

/** Cosine of elements [begin, end) of two arrays, in float64. */
function cosine(a: Float32Array, b: Float32Array, begin: number, end: number): number {
  let [product, squareA, squareB] = [0, 0, 0];
  for (let i = begin; i < end; i++) {
    product += a[i]! * b[i]!;
    squareA += a[i]! ** 2;
    squareB += b[i]! ** 2;
  }
  return product / Math.sqrt(squareA * squareB);
}

function compare(precision: Precision, actual: Outputs, exact: Outputs, batch: PackedBatch): PrecisionCost {
  const width = exact.hidden.length / batch.tokens;
  const columns = exact.vectors.length / batch.sequences;
  const texts = Array.from({ length: batch.sequences }, (_, index) => ({
    index,
    relativeError: relativeError(
      actual.hidden,
      exact.hidden,
      batch.cuSeqlens[index]! * width,
      batch.cuSeqlens[index + 1]! * width,
    ),
    cosine: cosine(actual.vectors, exact.vectors, index * columns, (index + 1) * columns),
  }));
  const worst = texts.reduce((a, b) => (b.relativeError > a.relativeError ? b : a));
  return {
    ...precision,
    relativeError: relativeError(actual.hidden, exact.hidden, 0, exact.hidden.length),
    worstText: { index: worst.index, relativeError: worst.relativeError },
    leastCosine: Math.min(...texts.map((text) => text.cosine)),
    weightBytes: actual.weightBytes,
    weightBytesF32: exact.weightBytes,
  };
}

/**
 * Runs the texts on the CPU in f32, bf16 and int8, and in fp8 where a GPU can, one loaded model after another.
 *
 * @throws PadlessError whatever loading the model and tokenizing the texts throws; E_ABORTED.
 */
export async function precisionCosts(
  path: string,
  texts: string[],
  cacheDir: string | undefined,
  signal: AbortSignal,
): Promise<PrecisionCost[]> {
  const load = { ...(cacheDir !== undefined && { cacheDir }), signal, logits: false };
  const { encoder, tokenizer } = await loadModel(await describeModel(path), load);
  let batch: PackedBatch | undefined;
  let exact: Outputs | undefined;
  try {
    async function* chunks() {
      yield await tokenizer.encode(texts, { signal });
    }
    for await (const tokens of tokenBatches(chunks(), Infinity)) batch = packed(tokens);
    exact = await outputsOf(encoder, batch!, signal);
  } finally {
    encoder.dispose();
    await tokenizer.dispose();
  }
  const costs: PrecisionCost[] = [];
  for (const precision of precisions()) {
    using lower = await Encoder.load(path, { ...load, ...precision });
    costs.push(compare(precision, await outputsOf(lower, batch!, signal), exact, batch!));
  }
  return costs;
}
