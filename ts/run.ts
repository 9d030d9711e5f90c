// What a run of an encoder takes and gives.
import type { PoolingMode } from './models/pipeline';
import type { NativeRunResult } from './native';

/** What a run can return. */
export type EncoderOutput = MatrixOutput | 'projections' | 'sparse';

/** Outputs that are one matrix. */
export type MatrixOutput = 'lastHiddenState' | 'poolerOutput' | 'sentenceEmbedding' | 'logits';

/** Options of {@link Encoder.run}. */
export interface RunOptions {
  outputs: readonly EncoderOutput[];
  /**
   * Run the first layers only (2D Matryoshka, arXiv:2402.14776): the same as a checkpoint that ends there, with its
   * final norm where the model has one.
   */
  layers?: number;
  /** The task whose adapter is added to the weights, where the checkpoint has adapters; none otherwise. */
  adapter?: string;
  /** Pooling instead of the checkpoint's own pipeline; several are concatenated. */
  pooling?: readonly PoolingMode[];
  /** Leading tokens of each sequence that the pooling leaves out, [B] counts. */
  skip?: Int32Array;
  /** Keep the first columns of the sentence embedding (Matryoshka). */
  dimensions?: number;
  /** L2-normalise the sentence embedding, after the truncation. */
  normalize?: boolean;
  /** Tokens of the packed batch whose logits are wanted, of a head that has logits a token; all otherwise. */
  logitRows?: Int32Array;
  /**
   * Tokens at the head of each sequence that attention sees as keys, [B]; all otherwise. Later ones see them and are
   * seen by none: the masks that ColBERT adds to a query.
   */
  keyCounts?: Int32Array;
  /** Tokens of the packed batch whose projections are wanted; all otherwise. */
  projectionRows?: Int32Array;
  /** How the output `sparse` is made. */
  sparse?: SparseOptions;
  signal?: AbortSignal;
}

/** How the output `sparse` is made of logits. */
export interface SparseOptions {
  /** Keep the largest weights of each sequence, so many; 0: all that are above 0. */
  topK: number;
  /** How often log(1 + x) is taken. */
  logs: number;
}

/** Sparse vectors, one a sequence. */
export interface SparseRows {
  /** Where each row begins in the other two, [B + 1]. */
  offsets: Int32Array;
  /** Columns, rising within a row. */
  indices: Int32Array;
  /** Above 0, or NaN where a logit was. */
  values: Float32Array;
}

/** Results of {@link Encoder.run}, row-major, float32. */
export interface EncoderResult {
  /** [T, hidden size] */
  lastHiddenState?: Float32Array;
  /** [B, hidden size] */
  poolerOutput?: Float32Array;
  /** [B, dimensions] */
  sentenceEmbedding?: Float32Array;
  /** [B, width], [T, width] or [logitRows, width]; width as {@link TaskHead} says. */
  logits?: Float32Array;
  /** [T or projectionRows, width] of each projection that was loaded. */
  projections?: Float32Array[];
  /** log(1 + relu(x)) of the largest logit of each column over a sequence's tokens, without zeros. */
  sparse?: SparseRows;
}

/** Native results as typed arrays, without copying. */
export function resultOf(buffers: NativeRunResult): EncoderResult {
  const { projections, sparseOffsets, sparseIndices, sparseValues } = buffers;
  const result: EncoderResult = {};
  for (const output of [
    'lastHiddenState',
    'poolerOutput',
    'sentenceEmbedding',
    'logits',
  ] satisfies MatrixOutput[]) {
    const buffer = buffers[output];
    if (buffer) result[output] = new Float32Array(buffer);
  }
  if (projections) result.projections = projections.map((buffer) => new Float32Array(buffer));
  if (sparseOffsets && sparseIndices && sparseValues) {
    result.sparse = {
      offsets: new Int32Array(sparseOffsets),
      indices: new Int32Array(sparseIndices),
      values: new Float32Array(sparseValues),
    };
  }
  return result;
}
