import { nextTurn } from '../batching/slices';
import { PadlessError, nativeAsync, throwIfAborted } from '../errors';
import { addon } from '../native';
import type { Stream } from '../stream';

/** Token vectors of several texts, one text's after another's. */
export interface PackedVectors {
  /** [vectors * dimensions], row-major. */
  data: Float32Array;
  /** Numbers of a vector. */
  dimensions: number;
  /** Where each text's vectors begin, from 0, [texts + 1]. */
  offsets: Int32Array;
}

/** Floats that the JS thread copies for one native call: 4 MiB, which takes below 1 ms. */
const CALL_FLOATS = 1 << 20;

/** Ranges of texts whose vectors are copied at once; a text of more is a range of its own. */
function* ranges({ offsets, dimensions }: PackedVectors): Generator<[begin: number, end: number]> {
  const texts = offsets.length - 1;
  for (let begin = 0; begin < texts;) {
    let end = begin + 1;
    while (end < texts && (offsets[end + 1]! - offsets[begin]!) * dimensions <= CALL_FLOATS) end++;
    yield [begin, end];
    begin = end;
  }
}

/**
 * ColBERT's scores of documents for queries (arXiv:2004.12832, equation 3): the sum over a query's vectors of
 * their largest dot product with one of the document's.
 *
 * @returns f32 [queries, documents], row-major; 0 where one of the two has no vectors.
 * @throws PadlessError E_INVALID_ARGUMENT for vectors of different sizes, E_ABORTED.
 */
export async function maxSim(
  queries: PackedVectors,
  documents: PackedVectors,
  stream: Stream,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const dim = queries.dimensions;
  if (dim !== documents.dimensions) {
    throw new PadlessError(
      'E_INVALID_ARGUMENT',
      `maxSim: the vectors have ${dim} and ${documents.dimensions} dimensions; they must have the same.`,
      { field: 'dimensions' },
    );
  }
  const rows = queries.offsets.length - 1;
  const columns = documents.offsets.length - 1;
  const scores = new Float32Array(rows * columns);
  for (const [begin, end] of ranges(documents)) {
    throwIfAborted(signal);
    const first = documents.offsets[begin]!;
    const part = await nativeMaxSim(stream, queries, {
      dimensions: dim,
      data: documents.data.subarray(first * dim, documents.offsets[end]! * dim),
      offsets: documents.offsets.subarray(begin, end + 1).map((offset) => offset - first),
    });
    for (let q = 0; q < rows; q++) {
      scores.set(part.subarray(q * (end - begin), (q + 1) * (end - begin)), q * columns + begin);
    }
    await nextTurn();
  }
  throwIfAborted(signal);
  return scores;
}

async function nativeMaxSim(
  stream: Stream,
  queries: PackedVectors,
  documents: PackedVectors,
): Promise<Float32Array> {
  const scores = await nativeAsync(() =>
    addon.maxSim(
      stream.native,
      queries.data,
      queries.offsets,
      documents.data,
      documents.offsets,
      queries.dimensions,
    ),
  );
  return new Float32Array(scores);
}
