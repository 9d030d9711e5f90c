import { sliced } from '../batching/slices';
import { PadlessError } from '../errors';
import type { Similarity } from '../models/pipeline';
import type { Embeddings } from './embeddings';

/** Scores of every row of one list against every row of another; higher is more alike. */
export interface SimilarityMatrix {
  /** [rows * columns], row-major. */
  data: Float32Array;
  rows: number;
  columns: number;
}

type Score = (a: Float32Array, b: Float32Array) => number;

const dot: Score = (a, b) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** The distances are negative, as in sentence-transformers, so that higher is always nearer. */
const scores: Record<Exclude<Similarity, 'cosine'>, Score> = {
  dot,
  euclidean: (a, b) => {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
    return -Math.sqrt(sum);
  },
  manhattan: (a, b) => {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += Math.abs(a[i]! - b[i]!);
    return -sum;
  },
};

/** 1 / |row|; a zero row counts as of length 1, so that its cosine is 0. */
function inverseNorms(embeddings: Embeddings): Float64Array {
  return Float64Array.from(embeddings, (row) => 1 / (Math.sqrt(dot(row, row)) || 1));
}

/**
 * Similarity of each row of `a` to each row of `b` by `kind`, summed in float64, in slices that leave the event
 * loop free.
 *
 * @throws PadlessError E_INVALID_ARGUMENT if the rows differ in size.
 */
export async function similarityMatrix(
  a: Embeddings,
  b: Embeddings,
  kind: Similarity,
): Promise<SimilarityMatrix> {
  if (a.length > 0 && b.length > 0 && a.dimensions !== b.dimensions) {
    throw new PadlessError(
      'E_INVALID_ARGUMENT',
      `similarity: the vectors have ${a.dimensions} and ${b.dimensions} dimensions; they must have the same.`,
      { field: 'dimensions' },
    );
  }
  const data = new Float32Array(a.length * b.length);
  const score = kind === 'cosine' ? dot : scores[kind];
  const norms = kind === 'cosine' ? { a: inverseNorms(a), b: inverseNorms(b) } : undefined;
  const columns = [...b];
  await sliced(
    (function* () {
      for (let i = 0; i < a.length; i++) {
        const row = a.row(i);
        for (let j = 0; j < columns.length; j++) {
          data[i * columns.length + j] = score(row, columns[j]!) * (norms ? norms.a[i]! * norms.b[j]! : 1);
          if (j % 256 === 255) yield;
        }
        yield;
      }
    })(),
  );
  return { data, rows: a.length, columns: b.length };
}
