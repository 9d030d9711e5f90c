import type { TokenizedChunk } from '../tokenizer/protocol';

/** Sequences of one forward pass, back to back. */
export interface TokenBatch {
  /** [T] */
  ids: Int32Array;
  /** [T]; absent when all are 0. */
  tokenTypes: Int32Array | undefined;
  /** [B + 1], from 0 to T. */
  cuSeqlens: Int32Array;
}

interface Piece {
  ids: Int32Array;
  tokenTypes: Int32Array | undefined;
}

function concatenate(pieces: Piece[], lengths: number[]): TokenBatch {
  const cuSeqlens = new Int32Array(lengths.length + 1);
  lengths.forEach((length, i) => (cuSeqlens[i + 1] = cuSeqlens[i]! + length));
  const total = cuSeqlens[lengths.length]!;
  const ids = new Int32Array(total);
  const tokenTypes = pieces.some((piece) => piece.tokenTypes) ? new Int32Array(total) : undefined;
  let offset = 0;
  for (const piece of pieces) {
    ids.set(piece.ids, offset);
    if (piece.tokenTypes) tokenTypes!.set(piece.tokenTypes, offset);
    offset += piece.ids.length;
  }
  return { ids, tokenTypes, cuSeqlens };
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
  for await (const { ids, tokenTypes, lengths: chunkLengths } of chunks) {
    let start = 0;
    let end = 0;
    const cut = () => {
      if (end > start)
        pieces.push({ ids: ids.subarray(start, end), tokenTypes: tokenTypes?.subarray(start, end) });
      start = end;
    };
    for (const length of chunkLengths) {
      if (lengths.length > 0 && tokens + length > batchTokens) {
        cut();
        yield concatenate(pieces, lengths);
        pieces = [];
        lengths = [];
        tokens = 0;
      }
      lengths.push(length);
      tokens += length;
      end += length;
    }
    cut();
  }
  if (lengths.length > 0) yield concatenate(pieces, lengths);
}
