import type { EncoderResult, RunOptions, SparseRows } from '../run';
import type { TokenBatch } from './batches';
import { copySteps } from './slices';

/** Outputs that batches can share: those that are rows. */
export type RowOutput = 'sentenceEmbedding' | 'logits' | 'projections' | 'sparse';

/** What is wanted of a batch. */
export interface PassRequest {
  /** The outputs, and how many rows each has for the batch. */
  rows: Partial<Record<RowOutput, number>>;
  /** Batches share a pass if these are equal. */
  options?: Pick<RunOptions, 'layers' | 'adapter' | 'pooling' | 'dimensions' | 'normalize' | 'sparse'>;
  /** As in {@link RunOptions}. */
  skip?: Int32Array | undefined;
  keyCounts?: Int32Array | undefined;
  /** Likewise; of the tokens of this batch. */
  logitRows?: Int32Array | undefined;
  projectionRows?: Int32Array | undefined;
}

/** A batch and what is wanted of it. */
export interface Requested {
  batch: TokenBatch;
  request: PassRequest;
}

export const tokensOf = ({ batch }: Requested) => batch.ids.length;
const sequencesOf = ({ batch }: Requested) => batch.cuSeqlens.length - 1;
const outputsOf = ({ rows }: PassRequest) => Object.keys(rows) as RowOutput[];

/** Equal for requests whose batches may share a pass. */
export function keyOf(request: PassRequest, batchTokens: number): string {
  const { options, logitRows, keyCounts } = request;
  return JSON.stringify([
    outputsOf(request),
    batchTokens,
    logitRows !== undefined,
    keyCounts !== undefined,
    options,
  ]);
}

/** [sequences], of counts a sequence that some members have; one without has zeros. */
function joinCounts(
  members: readonly Requested[],
  field: (request: PassRequest) => Int32Array | undefined,
): Int32Array | undefined {
  if (!members.some(({ request }) => field(request))) return undefined;
  const counts = new Int32Array(members.reduce((sum, member) => sum + sequencesOf(member), 0));
  let sequence = 0;
  for (const member of members) {
    const own = field(member.request);
    if (own) counts.set(own, sequence);
    sequence += sequencesOf(member);
  }
  return counts;
}

/** Tokens of the joined batch, of those that some members name; one that names none has all. */
function joinTokens(
  members: readonly Requested[],
  field: (request: PassRequest) => Int32Array | undefined,
): Int32Array | undefined {
  if (!members.some(({ request }) => field(request))) return undefined;
  const tokens: number[] = [];
  let begin = 0;
  for (const member of members) {
    for (const t of field(member.request) ?? member.batch.ids.keys()) tokens.push(begin + t);
    begin += tokensOf(member);
  }
  return Int32Array.from(tokens);
}

/** What a pass of the batches of `members`, one after the other, is run with; their keys are equal. */
export function joinRequests(members: readonly Requested[]): RunOptions {
  const [{ request }] = members as [Requested];
  const skip = joinCounts(members, (member) => member.skip);
  const keyCounts = joinCounts(members, (member) => member.keyCounts);
  const logitRows = joinTokens(members, (member) => member.logitRows);
  const projectionRows = joinTokens(members, (member) => member.projectionRows);
  return {
    ...request.options,
    outputs: outputsOf(request),
    ...(skip && { skip }),
    ...(keyCounts && { keyCounts }),
    ...(logitRows && { logitRows }),
    ...(projectionRows && { projectionRows }),
  };
}

/** Rows [begin, end) of `total`. */
interface Range {
  begin: number;
  end: number;
  total: number;
}

// Copies, since a view would keep the rows of all alive.
function* rowsOf(matrix: Float32Array, { begin, end, total }: Range): Generator<void, Float32Array> {
  const columns = total > 0 ? matrix.length / total : 0;
  const rows = new Float32Array((end - begin) * columns);
  yield* copySteps(rows, matrix.subarray(begin * columns, end * columns), 0);
  return rows;
}

function sparseRowsOf({ offsets, indices, values }: SparseRows, { begin, end }: Range): SparseRows {
  const [from, to] = [offsets[begin]!, offsets[end]!];
  return {
    offsets: offsets.slice(begin, end + 1).map((offset) => offset - from),
    indices: indices.slice(from, to),
    values: values.slice(from, to),
  };
}

function* shareOf(
  { sentenceEmbedding, logits, projections, sparse }: EncoderResult,
  range: (output: RowOutput) => Range,
): Generator<void, EncoderResult> {
  const share: EncoderResult = {};
  if (sentenceEmbedding)
    share.sentenceEmbedding = yield* rowsOf(sentenceEmbedding, range('sentenceEmbedding'));
  if (logits) share.logits = yield* rowsOf(logits, range('logits'));
  if (projections) {
    share.projections = [];
    for (const matrix of projections) share.projections.push(yield* rowsOf(matrix, range('projections')));
  }
  if (sparse) share.sparse = sparseRowsOf(sparse, range('sparse'));
  return share;
}

/** Gives each member its rows of the result of all. */
export function* shareOut<M extends Requested & { resolve: (share: EncoderResult) => void }>(
  members: readonly M[],
  result: EncoderResult,
): Generator<void> {
  if (members.length === 1) return members[0]!.resolve(result);
  const totals: PassRequest['rows'] = {};
  for (const { request } of members)
    for (const output of outputsOf(request)) totals[output] = (totals[output] ?? 0) + request.rows[output]!;
  const begins: PassRequest['rows'] = {};
  for (const { request, resolve } of members) {
    const range = (output: RowOutput): Range => {
      const begin = begins[output] ?? 0;
      return { begin, end: begin + request.rows[output]!, total: totals[output]! };
    };
    resolve(yield* shareOf(result, range));
    for (const output of outputsOf(request)) begins[output] = range(output).end;
    yield;
  }
}
