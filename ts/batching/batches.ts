import { PackedBatch } from '../packed';
import type { TokenDetails, TokenizedChunk } from '../tokenizer/protocol';

/** Sequences of one forward pass, back to back. */
export interface TokenBatch {
  /** [T] */
  ids: Int32Array;
  /** [T]; absent when all are 0. */
  tokenTypes: Int32Array | undefined;
  /** [B + 1], from 0 to T. */
  cuSeqlens: Int32Array;
  /** Where the tokenizer was asked for them. */
  details?: TokenDetails | undefined;
  /** [B], where a stride was given: index of the text that each window is of. */
  texts?: Int32Array | undefined;
  /** [B], likewise: where in each window the tokens begin that it repeats; -1 where none are. */
  repeatsAt?: Int32Array | undefined;
  /** [B], where not all are: tokens at the head of each sequence that attention sees as keys. */
  keyCounts?: Int32Array | undefined;
}

type Piece = Omit<TokenBatch, 'cuSeqlens'>;

function slice(chunk: TokenizedChunk, sequences: [number, number], [start, end]: [number, number]): Piece {
  return {
    ids: chunk.ids.subarray(start, end),
    tokenTypes: chunk.tokenTypes?.subarray(start, end),
    details: chunk.details && {
      offsets: chunk.details.offsets.subarray(2 * start, 2 * end),
      words: chunk.details.words.subarray(start, end),
      segments: chunk.details.segments.subarray(start, end),
    },
    texts: chunk.texts?.subarray(...sequences),
    repeatsAt: chunk.repeatsAt?.subarray(...sequences),
    keyCounts: chunk.keyCounts?.subarray(...sequences),
  };
}

type Integers = Int32Array | Int8Array;

/** Copies the arrays that `field` names of each piece after one another; a piece without one leaves zeros. */
function join<A extends Integers>(
  target: A,
  pieces: readonly Piece[],
  field: (piece: Piece) => A | undefined,
  elements: (piece: Piece) => number,
): A {
  let offset = 0;
  for (const piece of pieces) {
    const values = field(piece);
    if (values) target.set(values, offset);
    offset += elements(piece);
  }
  return target;
}

/** The same for a number a sequence, which all pieces have or none. */
function joinCounts(
  sequences: number,
  pieces: readonly Piece[],
  field: (piece: Piece) => Int32Array | undefined,
): Int32Array | undefined {
  if (!pieces[0] || !field(pieces[0])) return undefined;
  return join(new Int32Array(sequences), pieces, field, (piece) => field(piece)!.length);
}

function concatenate(pieces: readonly Piece[], lengths: readonly number[]): TokenBatch {
  const cuSeqlens = new Int32Array(lengths.length + 1);
  lengths.forEach((length, i) => (cuSeqlens[i + 1] = cuSeqlens[i]! + length));
  const total = cuSeqlens[lengths.length]!;
  const tokens = ({ ids }: Piece) => ids.length;
  return {
    cuSeqlens,
    ids: join(new Int32Array(total), pieces, (piece) => piece.ids, tokens),
    tokenTypes: pieces.some((piece) => piece.tokenTypes)
      ? join(new Int32Array(total), pieces, (piece) => piece.tokenTypes, tokens)
      : undefined,
    details: pieces[0]?.details && {
      offsets: join(
        new Int32Array(2 * total),
        pieces,
        (piece) => piece.details?.offsets,
        (p) => 2 * tokens(p),
      ),
      words: join(new Int32Array(total), pieces, (piece) => piece.details?.words, tokens),
      segments: join(new Int8Array(total), pieces, (piece) => piece.details?.segments, tokens),
    },
    texts: joinCounts(lengths.length, pieces, ({ texts }) => texts),
    repeatsAt: joinCounts(lengths.length, pieces, ({ repeatsAt }) => repeatsAt),
    keyCounts: joinCounts(lengths.length, pieces, ({ keyCounts }) => keyCounts),
  };
}

/**
 * Regroups chunks of sequences into batches of at most `batchTokens` tokens, in the same order. A sequence
 * longer than that is a batch of its own. Sequences are not sorted: without padding it would gain nothing.
 */
export async function* tokenBatches(
  chunks: AsyncIterable<TokenizedChunk>,
  batchTokens: number,
): AsyncGenerator<TokenBatch> {
  let pieces: Piece[] = [];
  let lengths: number[] = [];
  let tokens = 0;
  for await (const chunk of chunks) {
    let start = 0;
    let end = 0;
    let first = 0;
    const cut = (sequence: number) => {
      if (sequence > first) pieces.push(slice(chunk, [first, sequence], [start, end]));
      start = end;
      first = sequence;
    };
    for (const [sequence, length] of chunk.lengths.entries()) {
      if (lengths.length > 0 && tokens + length > batchTokens) {
        cut(sequence);
        yield concatenate(pieces, lengths);
        pieces = [];
        lengths = [];
        tokens = 0;
      }
      lengths.push(length);
      tokens += length;
      end += length;
    }
    cut(chunk.lengths.length);
  }
  if (lengths.length > 0) yield concatenate(pieces, lengths);
}

/** The sequences of several batches, one batch after the other; ids and token types only. */
export function joinBatches(batches: readonly TokenBatch[]): TokenBatch {
  const pieces = batches.map(({ ids, tokenTypes }) => ({ ids, tokenTypes }));
  const lengths = batches.flatMap(({ cuSeqlens }) =>
    Array.from(cuSeqlens.subarray(1), (end, i) => end - cuSeqlens[i]!),
  );
  return concatenate(pieces, lengths);
}

/** What the encoder takes of a batch. */
export function packed({ ids, tokenTypes, cuSeqlens }: TokenBatch): PackedBatch {
  return PackedBatch.fromIds({ ids, tokenTypes, cuSeqlens });
}
