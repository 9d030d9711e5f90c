/** Tokens [begin, end) of a sequence. */
export type TokenRange = readonly [begin: number, end: number];

// Why not the library's own overflow: 0.23 stops reading a text soon after the limit and leaves the rest of its
// windows out, and a stride that leaves no room aborts the process.

/** What {@link windows} and {@link cut} arrange: a sequence, the part of it that may be left out, and the limit. */
export interface Overlong {
  /** Tokens of the whole sequence. */
  length: number;
  /** The part to take windows of. The rest (special tokens, the first text of a pair, a prompt) is always kept. */
  body: TokenRange;
  /** Most tokens of a result. */
  limit: number;
}

/** `body` cut to what has room, at its end or at its beginning. Undefined if not one token of it has. */
export function cut(
  { length, body: [begin, end], limit }: Overlong,
  side: 'left' | 'right',
): TokenRange[] | undefined {
  if (length <= limit) return [[0, length]];
  const room = limit - (length - (end - begin));
  if (room < 1) return undefined;
  const kept: TokenRange = side === 'right' ? [begin, begin + room] : [end - room, end];
  return [[0, begin], kept, [end, length]];
}

/**
 * Windows that cover `body`, each as the ranges that it is made of. A window repeats the last `stride` tokens of
 * the one before, which is what `stride` means to Hugging Face tokenizers. Undefined if there is no room for more
 * than `stride` tokens.
 */
export function windows(
  { length, body: [begin, end], limit }: Overlong,
  stride: number,
): TokenRange[][] | undefined {
  if (length <= limit) return [[[0, length]]];
  const room = limit - (length - (end - begin));
  if (room <= stride) return undefined;
  const result: TokenRange[][] = [];
  for (let from = begin; ; from += room - stride) {
    const to = Math.min(from + room, end);
    result.push([
      [0, begin],
      [from, to],
      [end, length],
    ]);
    if (to === end) return result;
  }
}
