import type { TokenizedChunk } from '../tokenizer/protocol';

/** Tokens that are put into sequences after the tokenizer has made them. */
export interface AddedTokens {
  /** Behind the special tokens that a sequence begins with. */
  marker?: number | undefined;
  /** At the end, until the sequence has `length` tokens; `seen`: attention sees them as keys. */
  fill?: { id: number; length: number; seen: boolean } | undefined;
}

/** Special tokens at the head of the sequence [begin, end). */
function leading({ details }: TokenizedChunk, begin: number, end: number): number {
  let count = 0;
  while (begin + count < end && details!.segments[begin + count]! < 0) count++;
  // Without text, closing tokens follow the opening ones; the one that closes is the last.
  return count === end - begin ? Math.max(count - 1, 0) : count;
}

/**
 * The chunk, which must have details, with `added` in every sequence; its details and token types go. `keyCounts`
 * is there where fill tokens are no keys.
 */
function addToChunk(chunk: TokenizedChunk, { marker, fill }: AddedTokens): TokenizedChunk {
  const inserted = marker === undefined ? 0 : 1;
  const lengths = chunk.lengths.map((length) => Math.max(length + inserted, fill?.length ?? 0));
  const ids = new Int32Array(lengths.reduce((sum, length) => sum + length, 0));
  if (fill) ids.fill(fill.id);
  const repeatsAt = chunk.repeatsAt?.map((at) => (at < 0 ? at : at + inserted));
  let [from, to] = [0, 0];
  chunk.lengths.forEach((length, i) => {
    const head = inserted === 0 ? 0 : leading(chunk, from, from + length);
    ids.set(chunk.ids.subarray(from, from + head), to);
    if (marker !== undefined) ids[to + head] = marker;
    ids.set(chunk.ids.subarray(from + head, from + length), to + head + inserted);
    from += length;
    to += lengths[i]!;
  });
  return {
    ids,
    tokenTypes: undefined,
    lengths,
    texts: chunk.texts,
    repeatsAt,
    ...(fill && !fill.seen && { keyCounts: chunk.lengths.map((length) => length + inserted) }),
  };
}

/** The same for chunk after chunk. */
export async function* addTokens(
  chunks: AsyncIterable<TokenizedChunk>,
  added: AddedTokens,
): AsyncGenerator<TokenizedChunk> {
  for await (const chunk of chunks) yield addToChunk(chunk, added);
}
